//! What predecessor and successor say to each other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One message; descriptors and bytes travel beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(super) enum Message {
    /// The successor's first word.
    Hello(Hello),
    /// Not to this one, and nothing was stopped for it.
    Refusal {
        /// Why.
        reason: String,
    },
    /// With two descriptors: the clients' listener and the health answer's.
    Listeners,
    /// With one or two descriptors each: the client, and the server if there is one.
    Connections {
        /// In the order of their descriptors and bytes.
        list: Vec<Parcel>,
    },
    /// The message before this arrived with all descriptors.
    Received,
    /// There are no more.
    End {
        /// How many there were.
        connections: usize,
    },
    /// Everything is there and could be served at once.
    Ready,
    /// It is yours.
    Go,
    /// It stays mine.
    No,
}

/// Invariant: every version's hello says its version in this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    /// The pod's name.
    pub(super) name: String,
    pub(super) listen: SocketAddr,
    pub(super) health: SocketAddr,
}

/// A connection. The bytes beside it are those waiting there, those waiting back, and the opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parcel {
    pub(super) server: Option<SocketAddr>,
    /// Since the client came.
    pub(super) age_ms: u64,
    pub(super) there: WayParcel,
    pub(super) back: WayParcel,
    /// Length, if it is still kept.
    pub(super) opening: Option<usize>,
}

/// One way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WayParcel {
    /// Length.
    pub(super) pending: usize,
    pub(super) has_ended: bool,
    pub(super) is_shut: bool,
}

/// Of a hello, the part that every version understands.
#[derive(Debug, Deserialize)]
pub(super) struct AnyVersion {
    pub(super) version: u32,
}
