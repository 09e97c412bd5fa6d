//! What keeps a page from being served.

use mcir_upscale::error::{Advice, Error};
use std::io;

/// An error of the server itself. Like all errors of the program, it knows the next thing to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address is taken.
    #[error("the port {address} is in use by another program")]
    PortInUse {
        /// Address and port.
        address: String,
    },
    /// A page cannot be served there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl From<WebError> for Error {
    fn from(error: WebError) -> Self {
        Self::Room(Box::new(error))
    }
}

impl Advice for WebError {
    fn help(&self) -> String {
        match self {
            Self::PortInUse { address } => {
                let port = address.rsplit(':').next().unwrap_or_default();
                format!(
                    "`ss -ltnp 'sport = :{port}'` names the program; stop it, or use another port, for example \
                     --http 8081"
                )
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "ports below 1024 are reserved; use for example --http 8080".into()
            }
            Self::Listen { .. } => {
                "`ip addr` lists the addresses of this machine; 0.0.0.0:8080 listens on all of them".into()
            }
            Self::Thread(_) => "close other programs; `ulimit -u` shows the limit".into(),
        }
    }
}
