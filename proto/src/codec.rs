//! How messages become bytes on the wire.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// How much room a call begins with, in bytes; it grows with its messages. A stream keeps it for as long as it is
/// open, and a controller has one open with each of its agents.
const ROOM: usize = 512;

/// How much of a stream is gathered before it is given away, in bytes, as tonic has it.
const GATHERED: usize = 32 << 10;

/// Protobuf with little memory for each open call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Compact<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Compact<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(ROOM, GATHERED)
}
