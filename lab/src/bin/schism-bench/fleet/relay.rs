//! A hop that counts what it carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Carries connections to the controller.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    counts: Arc<[AtomicU64; 2]>,
}

impl Relay {
    /// Listens on loopback.
    pub(crate) async fn open(controller: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts: Arc<[AtomicU64; 2]> = Arc::default();
        let counted = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(controller).await else { continue };
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(carry(far.0, near.1, Arc::clone(&counted), 0));
                tokio::spawn(carry(near.0, far.1, Arc::clone(&counted), 1));
            }
        });
        Ok(Self { address, counts })
    }

    /// Bytes to agents, and from them.
    pub(crate) fn counted(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.counts[way].load(Ordering::Relaxed))
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counts: Arc<[AtomicU64; 2]>,
    way: usize,
) {
    let mut buffer = vec![0; 1 << 14];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                counts[way].fetch_add(read as u64, Ordering::Relaxed);
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
