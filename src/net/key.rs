//! A peer's name: its Ed25519 public key, which is also its libp2p identity.

use std::fmt;

use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};

/// The multihash code "identity": the peer id holds the key itself, not a hash of it.
const IDENTITY_HASH: u64 = 0;

/// The 32 bytes of a peer's Ed25519 public key. The author of a log and the peer that serves it are
/// one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 32]);

impl PeerKey {
    /// The key inside a libp2p peer id; none if the id is that of another kind of key.
    #[must_use]
    pub fn of(peer: &PeerId) -> Option<Self> {
        if peer.as_ref().code() != IDENTITY_HASH {
            return None;
        }
        let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
        Some(Self(key.try_into_ed25519().ok()?.to_bytes()))
    }

    /// The libp2p peer id of this key; none if the bytes are no point of the curve.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0).ok()?;
        Some(PublicKey::from(key).to_peer_id())
    }
}

impl From<[u8; 32]> for PeerKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    /// The id of an RSA peer, from the libp2p specification: a hash, so no key can be read from it.
    pub(in crate::net) const RSA_PEER: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    #[test]
    fn a_key_and_its_peer_id_name_each_other() {
        let pair = Keypair::ed25519_from_bytes([7; 32]).expect("any 32 bytes are a seed");
        let peer = pair.public().to_peer_id();
        let key = PeerKey::of(&peer).expect("an Ed25519 id holds its key");
        assert_eq!(key.peer_id(), Some(peer));
        assert_eq!(key.to_string().len(), 64);
    }

    #[test]
    fn other_kinds_of_key_have_no_name_here() {
        let rsa: PeerId = RSA_PEER.parse().expect("a well-formed peer id");
        assert_eq!(PeerKey::of(&rsa), None);
    }
}
