//! The password-authenticated key exchange, behind a private trait: CPace (CPACE-RISTR255-SHA512,
//! draft-irtf-cfrg-cpace-21, initiator–responder). Not the handshake: nothing here confirms that both sides agree.
//!
//! A PAKE gives whoever speaks to us exactly one guess an exchange; nothing that travels can be tried against a list.

use maille_proto::SHARE_BYTES;
use pakery_core::SharedSecret;
use pakery_cpace::{CpaceCiphersuite, CpaceInitiator, CpaceMode, CpaceResponder, InitiatorState};
use pakery_crypto::{Ristretto255Group, Sha512Hash};
use rand::CryptoRng;

/// One side's public value.
pub(super) type Share = [u8; SHARE_BYTES];

/// A share that no honest peer sends: not canonical, not a point, or the neutral element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadShare;

/// What both sides hold after the exchange if their secrets and contexts were equal. Wiped on drop.
pub(super) struct ExchangeKey(SharedSecret);

impl ExchangeKey {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What an exchange is bound to.
pub(super) struct Context<'a> {
    /// The secret both sides should share (the draft's PRS).
    pub(super) secret: &'a [u8],
    /// Who speaks to whom about what (the draft's CI).
    pub(super) channel: &'a [u8],
    /// Both nonces (the draft's sid).
    pub(super) session: &'a [u8],
}

/// A balanced PAKE in two messages.
pub(super) trait Pake {
    /// What the initiator keeps between the two messages.
    type Started;

    /// The initiator's share.
    fn start(context: &Context<'_>, rng: &mut impl CryptoRng) -> Result<(Share, Self::Started), BadShare>;

    /// The responder's share and key, in answer to the initiator's share.
    fn respond(
        context: &Context<'_>,
        initiator: &Share,
        rng: &mut impl CryptoRng,
    ) -> Result<(Share, ExchangeKey), BadShare>;

    /// The initiator's key, from the responder's share.
    fn finish(started: Self::Started, responder: &Share) -> Result<ExchangeKey, BadShare>;
}

/// CPace over ristretto255 with SHA-512 and no associated data: what would go there is in the channel and the transcript.
pub(super) struct Cpace;

/// The initiator's state: its scalar (wiped on drop) and its share, which must not come back as the responder's.
pub(super) struct CpaceStarted {
    state: InitiatorState<Suite>,
    own: Share,
}

impl Pake for Cpace {
    type Started = CpaceStarted;

    fn start(context: &Context<'_>, rng: &mut impl CryptoRng) -> Result<(Share, CpaceStarted), BadShare> {
        let (share, state) =
            CpaceInitiator::<Suite>::start(context.secret, context.channel, context.session, NO_DATA, rng)
                .map_err(|_| BadShare)?;
        let own = to_share(&share)?;
        Ok((own, CpaceStarted { state, own }))
    }

    fn respond(
        context: &Context<'_>,
        initiator: &Share,
        rng: &mut impl CryptoRng,
    ) -> Result<(Share, ExchangeKey), BadShare> {
        let (share, output) = CpaceResponder::<Suite>::respond(
            initiator,
            context.secret,
            context.channel,
            context.session,
            NO_DATA,
            NO_DATA,
            CpaceMode::InitiatorResponder,
            rng,
        )
        .map_err(|_| BadShare)?;
        Ok((to_share(&share)?, ExchangeKey(output.isk)))
    }

    fn finish(started: CpaceStarted, responder: &Share) -> Result<ExchangeKey, BadShare> {
        if started.own == *responder {
            return Err(BadShare);
        }
        started
            .state
            .finish(responder, NO_DATA, CpaceMode::InitiatorResponder)
            .map(|output| ExchangeKey(output.isk))
            .map_err(|_| BadShare)
    }
}

const NO_DATA: &[u8] = b"";

struct Suite;

impl CpaceCiphersuite for Suite {
    type Group = Ristretto255Group;
    type Hash = Sha512Hash;
    const DSI: &'static [u8] = b"CPaceRistretto255";
    const HASH_BLOCK_SIZE: usize = 128;
    const FIELD_SIZE_BYTES: usize = 32;
}

fn to_share(bytes: &[u8]) -> Result<Share, BadShare> {
    bytes.try_into().map_err(|_| BadShare)
}

#[cfg(test)]
mod tests {
    //! T1: the vectors of draft-irtf-cfrg-cpace-21, appendix B.3, and every encoding that must be refused.

    use std::convert::Infallible;

    use pakery_core::crypto::CpaceGroup;
    use pakery_core::encoding::lv_cat;
    use pakery_cpace::generator::{calculate_generator, generator_string};
    use pakery_cpace::transcript::{derive_isk, derive_session_id, transcript_ir};
    use rand::rngs::StdRng;
    use rand::{SeedableRng, TryCryptoRng, TryRng};
    use sha2::{Digest, Sha512};

    use super::*;

    const PRS: &[u8] = b"Password";
    const CI: &str = "0b415f696e69746961746f720b425f726573706f6e646572";
    const SID: &str = "7e4b4791d6a8ef019b936c79fb7f2c57";
    const G: &str = "222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56";
    const SCALAR_A: &str = "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08";
    const SHARE_A: &str = "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157";
    const SCALAR_B: &str = "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d";
    const SHARE_B: &str = "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258";
    const K: &str = "80b69a8a76457ab6a4d7f887a4bf6b55a2f80ac19c333f917a05fc9887c8b40f";
    const ISK: &str = "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd\
                       2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447";
    const SID_OUTPUT: &str = "bb1c449b35f0ea79a65c209f329a693d475e0ce2387bed9fe4b78f60b2a27c21\
                              9813fb2cfe175ef40d2222d9261e66da7d78f7c55a303b1b8611dcdfab880c47";
    const TRANSCRIPT: &str = "20d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157\
                              03414461203ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f725803414462";
    // B.3.10: scalar_mult with valid inputs.
    const VALID_SCALAR: &str = "7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05";
    const VALID_POINT: &str = "2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c";
    const VALID_PRODUCT: &str = "7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e";
    // B.3.11: Y_i1, Y_i2.
    const INVALID_OF_THE_DRAFT: [&str; 2] = [
        "2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ];
    // RFC 9496, appendix A.2: encodings that ristretto255 must refuse, on which the draft builds.
    const INVALID_OF_RISTRETTO255: [&str; 30] = [
        // Field elements that are not canonical.
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        // Negative field elements.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
        "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
        "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
        "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
        "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
        "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
        // x² is not a square.
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
        "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
        "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
        "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
        "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
        "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
        "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
        // xy is negative.
        "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
        "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
        "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
        "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
        "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
        "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
        "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
        "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
        // y is zero.
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    fn share(text: &str) -> Share {
        hex(text).try_into().unwrap()
    }

    /// "Randomness" that is one given scalar: 64 wide bytes whose reduction is the scalar itself.
    struct Scripted(Vec<u8>);

    impl Scripted {
        fn scalar(text: &str) -> Self {
            let mut wide = hex(text);
            wide.resize(64, 0);
            Scripted(wide)
        }
    }

    impl TryRng for Scripted {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!("the suite draws whole byte strings")
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            unreachable!("the suite draws whole byte strings")
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
            Ok(())
        }
    }

    impl TryCryptoRng for Scripted {}

    #[test]
    fn t1_draft_21_vectors_of_the_suite() {
        let (ci, sid) = (hex(CI), hex(SID));
        assert_eq!(generator_string::<Suite>(PRS, &ci, &sid).len(), 170);
        assert_eq!(calculate_generator::<Suite>(PRS, &ci, &sid).unwrap().to_bytes(), hex(G));
        let (a, b) = (hex(SHARE_A), hex(SHARE_B));
        assert_eq!(transcript_ir(&a, b"ADa", &b, b"ADb"), hex(TRANSCRIPT));
        let isk = derive_isk::<Suite>(&sid, &hex(K), &a, b"ADa", &b, b"ADb", CpaceMode::InitiatorResponder);
        assert_eq!(isk.as_bytes(), hex(ISK));
        let id = derive_session_id::<Suite>(&a, b"ADa", &b, b"ADb", CpaceMode::InitiatorResponder);
        assert_eq!(id, hex(SID_OUTPUT));
        let mut wide = hex(VALID_SCALAR);
        wide.resize(64, 0);
        let scalar = Ristretto255Group::scalar_from_wide_bytes(&wide).unwrap();
        let product = Ristretto255Group::from_bytes(&hex(VALID_POINT))
            .unwrap()
            .scalar_mul(&scalar);
        assert_eq!(product.to_bytes(), hex(VALID_PRODUCT));
    }

    #[test]
    fn t1_draft_21_shares_and_point_through_our_trait() {
        let (ci, sid) = (hex(CI), hex(SID));
        let context = Context {
            secret: PRS,
            channel: &ci,
            session: &sid,
        };
        let (a, started) = Cpace::start(&context, &mut Scripted::scalar(SCALAR_A)).unwrap();
        let (b, responder) = Cpace::respond(&context, &a, &mut Scripted::scalar(SCALAR_B)).unwrap();
        assert_eq!((a.to_vec(), b.to_vec()), (hex(SHARE_A), hex(SHARE_B)));
        let initiator = Cpace::finish(started, &b).unwrap();
        // The draft's point K, with our empty associated data, hashed here without the suite's own code.
        let input = [lv_cat(&[b"CPaceRistretto255_ISK", &sid, &hex(K), &a, b"", &b, b""])].concat();
        assert_eq!(initiator.as_bytes(), Sha512::digest(&input).as_slice());
        assert_eq!(responder.as_bytes(), initiator.as_bytes());
    }

    #[test]
    fn t1_every_invalid_encoding_is_refused_by_both_sides() {
        let context = Context {
            secret: PRS,
            channel: b"ci",
            session: b"sid",
        };
        let mut rng = StdRng::seed_from_u64(1);
        for bad in INVALID_OF_THE_DRAFT.iter().chain(&INVALID_OF_RISTRETTO255) {
            let bad = share(bad);
            assert_eq!(
                Cpace::respond(&context, &bad, &mut rng).map(|_| ()),
                Err(BadShare),
                "{bad:02x?}"
            );
            let (_, started) = Cpace::start(&context, &mut rng).unwrap();
            assert_eq!(Cpace::finish(started, &bad).map(|_| ()), Err(BadShare), "{bad:02x?}");
        }
    }

    #[test]
    fn t2_our_own_share_is_refused_when_it_comes_back() {
        let context = Context {
            secret: PRS,
            channel: b"ci",
            session: b"sid",
        };
        let mut rng = StdRng::seed_from_u64(2);
        let (own, started) = Cpace::start(&context, &mut rng).unwrap();
        assert_eq!(Cpace::finish(started, &own).map(|_| ()), Err(BadShare));
    }

    #[test]
    fn keys_are_equal_only_for_equal_secret_channel_and_session() {
        let mut rng = StdRng::seed_from_u64(3);
        let base = Context {
            secret: b"s",
            channel: b"c",
            session: b"n",
        };
        for (other, equal) in [
            (
                Context {
                    secret: b"s",
                    channel: b"c",
                    session: b"n",
                },
                true,
            ),
            (
                Context {
                    secret: b"t",
                    channel: b"c",
                    session: b"n",
                },
                false,
            ),
            (
                Context {
                    secret: b"s",
                    channel: b"d",
                    session: b"n",
                },
                false,
            ),
            (
                Context {
                    secret: b"s",
                    channel: b"c",
                    session: b"m",
                },
                false,
            ),
        ] {
            let (a, started) = Cpace::start(&base, &mut rng).unwrap();
            let (b, responder) = Cpace::respond(&other, &a, &mut rng).unwrap();
            assert_eq!(
                Cpace::finish(started, &b).unwrap().as_bytes() == responder.as_bytes(),
                equal
            );
        }
    }
}
