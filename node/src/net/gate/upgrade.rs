//! Protocol names behind the gate: what a connection advertises, and how a mesh's own protocols are renamed.
//!
//! Every admission derives its own prefix from its session key, so a name on the wire tells nobody which mesh it serves,
//! and two meshes can never meet on one name. The inner behaviour keeps its usual names. Of the versions of one protocol
//! only the first is advertised: both sides of a gate run the same.

use std::{convert::Infallible, future, sync::Arc};

use libp2p::core::upgrade::{InboundUpgrade, UpgradeInfo};
use libp2p::swarm::Stream;
use libp2p::swarm::handler::{OutboundUpgradeSend, UpgradeInfoSend};

use super::{ADMISSION_PROTOCOL, Slot};

/// The inner protocols of one admission, each with the name it has on the wire.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<(String, Arc<str>)>);

impl Names {
    pub(super) fn new(prefix: &str, inner: &impl UpgradeInfoSend) -> Self {
        let mut names: Vec<(String, Arc<str>)> = Vec::new();
        for name in inner.protocol_info() {
            let name = name.as_ref();
            if names.iter().all(|(known, _)| stem(known) != stem(name)) {
                names.push((name.to_owned(), format!("{prefix}{name}").into()));
            }
        }
        Self(names)
    }

    fn wire(&self, inner: &str) -> Option<Arc<str>> {
        self.0
            .iter()
            .find(|(name, _)| name == inner)
            .map(|(_, wire)| wire.clone())
    }
}

/// `/meshsub/1.3.0` without its version.
fn stem(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(stem, _)| stem)
}

/// One name a connection listens for.
#[derive(Clone, Debug)]
pub(crate) struct Advertised {
    wire: Arc<str>,
    /// The admission and the inner name it stands for; none for admission itself.
    pub(super) inner: Option<(Slot, u32, Arc<str>)>,
}

impl AsRef<str> for Advertised {
    fn as_ref(&self) -> &str {
        &self.wire
    }
}

/// All names a connection listens for, built when they change: the swarm reads them again for every inbound stream.
#[derive(Clone, Debug)]
pub(crate) struct Listen(Arc<[Advertised]>);

impl Listen {
    /// `serves`: admission itself is spoken; only members do.
    pub(super) fn new<'a>(serves: bool, admissions: impl Iterator<Item = (Slot, u32, &'a Names)>) -> Self {
        let admission = Advertised {
            wire: ADMISSION_PROTOCOL.as_ref().into(),
            inner: None,
        };
        let inner = admissions.flat_map(|(slot, generation, names)| {
            names.0.iter().map(move |(name, wire)| Advertised {
                wire: wire.clone(),
                inner: Some((slot, generation, name.as_str().into())),
            })
        });
        Self(serves.then_some(admission).into_iter().chain(inner).collect())
    }
}

impl UpgradeInfo for Listen {
    type Info = Advertised;
    type InfoIter = ListenIter;

    fn protocol_info(&self) -> ListenIter {
        ListenIter(self.0.clone(), 0)
    }
}

/// Walks the names without copying their list.
#[derive(Debug)]
pub(crate) struct ListenIter(Arc<[Advertised]>, usize);

impl Iterator for ListenIter {
    type Item = Advertised;

    fn next(&mut self) -> Option<Advertised> {
        let name = self.0.get(self.1)?.clone();
        self.1 += 1;
        Some(name)
    }
}

impl InboundUpgrade<Stream> for Listen {
    type Output = (Advertised, Stream);
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Advertised) -> Self::Future {
        future::ready(Ok((name, stream)))
    }
}

/// An inner protocol on its way out, under the admission's names.
#[derive(Debug)]
pub(crate) struct Renamed<O> {
    pub(super) inner: O,
    pub(super) names: Arc<Names>,
}

/// A renamed protocol: its wire name and what the inner protocol calls it.
#[derive(Clone, Debug)]
pub(crate) struct RenamedInfo<I> {
    wire: Arc<str>,
    inner: I,
}

impl<I> AsRef<str> for RenamedInfo<I> {
    fn as_ref(&self) -> &str {
        &self.wire
    }
}

impl<O: UpgradeInfoSend> UpgradeInfoSend for Renamed<O> {
    type Info = RenamedInfo<O::Info>;
    type InfoIter = std::vec::IntoIter<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        let renamed = self.inner.protocol_info().filter_map(|inner| {
            let wire = self.names.wire(inner.as_ref())?;
            Some(RenamedInfo { wire, inner })
        });
        renamed.collect::<Vec<_>>().into_iter()
    }
}

impl<O: OutboundUpgradeSend> OutboundUpgradeSend for Renamed<O> {
    type Output = O::Output;
    type Error = O::Error;
    type Future = O::Future;

    fn upgrade_outbound(self, stream: Stream, name: Self::Info) -> Self::Future {
        self.inner.upgrade_outbound(stream, name.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::upgrade::ReadyUpgrade;

    struct Versions;
    impl UpgradeInfo for Versions {
        type Info = &'static str;
        type InfoIter = std::vec::IntoIter<&'static str>;
        fn protocol_info(&self) -> Self::InfoIter {
            vec!["/meshsub/1.3.0", "/meshsub/1.2.0", "/catchup/1", "/meshsub/1.0.0"].into_iter()
        }
    }
    impl InboundUpgrade<Stream> for Versions {
        type Output = ();
        type Error = Infallible;
        type Future = future::Ready<Result<(), Infallible>>;
        fn upgrade_inbound(self, _: Stream, _: Self::Info) -> Self::Future {
            future::ready(Ok(()))
        }
    }

    #[test]
    fn one_version_a_protocol_is_advertised_under_the_session_prefix() {
        let names = Names::new("/maille/m/0011223344556677", &Versions);
        let wire = |serves| {
            let listen = Listen::new(serves, [(7, 1, &names)].into_iter());
            let names = UpgradeInfo::protocol_info(&listen);
            names.map(|name| name.as_ref().to_owned()).collect::<Vec<String>>()
        };
        let mesh = [
            "/maille/m/0011223344556677/meshsub/1.3.0",
            "/maille/m/0011223344556677/catchup/1",
        ];
        assert_eq!(wire(true), ["/maille/admission/1", mesh[0], mesh[1]]);
        assert_eq!(wire(false), mesh);
    }

    #[test]
    fn an_outbound_protocol_that_is_not_advertised_is_not_offered() {
        let names = Arc::new(Names::new("/p", &Versions));
        let offered = |name: &'static str| {
            let inner = ReadyUpgrade::new(libp2p::StreamProtocol::new(name));
            Renamed {
                inner,
                names: names.clone(),
            }
            .protocol_info()
            .map(|n| n.as_ref().to_owned())
            .collect::<Vec<_>>()
        };
        assert_eq!(offered("/meshsub/1.3.0"), ["/p/meshsub/1.3.0"]);
        assert_eq!(offered("/meshsub/1.1.0"), Vec::<String>::new());
    }
}
