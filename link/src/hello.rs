//! What both ends say before gRPC begins: four bytes of length, then a message.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message (16 KiB).
const LONGEST: u32 = 16 << 10;

/// The other end did not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It closed, or the network failed.
    #[error("read the hello: {0}")]
    Io(#[from] io::Error),
    /// It announced more than the longest message.
    #[error("a hello of {0} bytes, where 16384 are the most")]
    TooLong(u32),
    /// It is no such message.
    #[error("a hello that cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// Reads one message. Nothing is allocated for what is merely announced beyond the longest.
///
/// # Errors
/// The other end closed, announced too much, or said something else.
pub async fn read<M: Message + Default>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<M, HelloError> {
    let length = from.read_u32().await?;
    if length > LONGEST {
        return Err(HelloError::TooLong(length));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes).await?;
    Ok(M::decode(bytes.as_slice())?)
}

/// Writes one message.
///
/// # Errors
/// The network failed.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_u32(length).await?;
    to.write_all(&bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use proto::agent::Hello;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (mut here, mut there) = tokio::io::duplex(64);
        let hello = Hello { protocol: 1, node: "a".to_owned(), ..Hello::default() };
        let said = hello.clone();
        let writing = tokio::spawn(async move { write(&mut here, &said).await });
        assert_eq!(read::<Hello>(&mut there).await.unwrap(), hello);
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_gigabyte_is_refused_unread() {
        let (mut here, mut there) = tokio::io::duplex(64);
        here.write_u32(1 << 30).await.unwrap();
        let refused = read::<Hello>(&mut there).await.unwrap_err();
        assert!(matches!(refused, HelloError::TooLong(size) if size == 1 << 30), "{refused}");
    }

    #[tokio::test]
    async fn another_message_is_refused() {
        let (mut here, mut there) = tokio::io::duplex(64);
        here.write_u32(2).await.unwrap();
        here.write_all(&[0xff, 0xff]).await.unwrap();
        let refused = read::<Hello>(&mut there).await.unwrap_err();
        assert!(matches!(refused, HelloError::Malformed(_)), "{refused}");
    }
}
