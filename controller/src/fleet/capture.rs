//! `schism capture` through a controller.

use std::time::{Duration, UNIX_EPOCH};

use fault::{Status, Target};
use futures_util::StreamExt as _;
use proto::control as wire;
use proto::control::capture_piece::Kind;
use tonic::Streaming;

use super::client::{self, Client};
use super::connect;
use crate::capture::standing::Heard;
use crate::capture::{Asked, Told};
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::Controller;

/// Runs it.
pub(crate) async fn run(
    asked: Asked,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let output = asked.words(output);
    let attempted = asked.attempted.as_str();
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let made = asked.make()?;
    let begun = async {
        let mut client = connect(place, output).await?;
        let before = heard(&mut client).await?;
        let told = told(&asked, &mut client).await?;
        Ok((client, before, told))
    };
    let (mut client, before, told) = interrupts.unless(attempted, begun).await?;
    let over = told.keep(&asked, made, &before, &mut interrupts, output).await?;
    // What is known by then is better than nothing.
    let after = heard(&mut client).await.unwrap_or_default();
    over.conclude(&after, output).await
}

/// How all faults of the controller stand, by the last that it heard of them.
async fn heard(client: &mut Client) -> Result<Vec<Heard>, Failure> {
    let parts = client.list().await?.into_iter().flat_map(|intent| intent.parts);
    let heard = parts.filter_map(|part| {
        let status = Status::try_from(part.status?).ok()?;
        Some(Heard { status, at: UNIX_EPOCH + Duration::from_nanos(part.heard) })
    });
    Ok(heard.collect())
}

async fn told(asked: &Asked, client: &mut Client) -> Result<Told, Failure> {
    let attempted = asked.attempted.clone();
    let request = wire::CaptureRequest {
        target: Some((&asked.target).into()),
        peers: asked.peers.iter().map(Into::into).collect(),
        capture: Some((&asked.wanted(Vec::new())).into()),
        seed: asked.seed,
    };
    let pieces = client.capture(&attempted, request).await?;
    received(attempted, pieces).await
}

/// What a controller tells of a capture.
///
/// # Errors
/// It is refused, or makes no sense.
pub(crate) async fn received(
    attempted: String,
    mut pieces: Streaming<wire::CapturePiece>,
) -> Result<Told, Failure> {
    let odd = |reason: &str| Failure::caused(Cause::Other, attempted.clone(), reason);
    let first = pieces.message().await.map_err(|status| client::failure(&attempted, &status))?;
    let Some(wire::CapturePiece { kind: Some(Kind::Target(end)) }) = first else {
        return Err(odd("the controller does not say whose packets they are"));
    };
    let target = end.target.and_then(|target| Target::try_from(target).ok());
    let target = target.ok_or_else(|| odd("the controller's answer makes no sense"))?;
    let pieces = pieces.map(move |piece| match piece {
        Ok(wire::CapturePiece { kind: Some(Kind::Piece(piece)) }) => Ok(piece),
        Ok(wire::CapturePiece { kind: Some(Kind::Target(_)) | None }) => {
            let reason = "the controller's answer makes no sense";
            Err(Failure::caused(Cause::Other, attempted.clone(), reason))
        }
        Err(status) => Err(client::failure(&attempted, &status)),
    });
    Ok(Told {
        target: target.selector.to_string(),
        node: end.node,
        identity: target.identity,
        pieces: pieces.boxed(),
    })
}
