//! The provider store under honest use and under floods.

use rand::SeedableRng;

use super::*;
use crate::core::neighbours::test_peers::{multiaddr, number, peer};

const ME: u64 = u64::MAX;

fn store(seed: u64) -> Providers {
    eprintln!("seed {seed}");
    Providers::new(peer(ME), StdRng::seed_from_u64(seed))
}

fn address(n: u64) -> IpPrefix {
    let [.., a, b, c] = n.to_be_bytes();
    IpPrefix::V4([20 + a, b, c, 1])
}

fn add(store: &mut Providers, key: &[u8], n: u64, prefix: IpPrefix, now: Instant) -> bool {
    store.add(key, peer(n), vec![multiaddr(n)], prefix, now)
}

/// The bookkeeping agrees with itself, and no bound is passed.
fn check(store: &Providers) {
    let entries: usize = store.keys.values().map(BTreeMap::len).sum();
    assert_eq!(entries, store.entries);
    assert_eq!(store.networks.values().map(BTreeSet::len).sum::<usize>(), store.entries);
    assert!(store.keys.len() <= KEYS_MAX && store.entries <= ENTRIES_MAX);
    assert!(
        store
            .keys
            .values()
            .all(|providers| !providers.is_empty() && providers.len() <= KEY_PROVIDERS_MAX)
    );
    for (network, entries) in &store.networks {
        assert!(
            matches!(network, Network::Whole(prefix) if is_this_machine(*prefix))
                || entries.len() <= NETWORK_ENTRIES_MAX
        );
        assert!(
            entries
                .iter()
                .all(|(key, peer)| Network::around(store.keys[key][peer].prefix) == *network)
        );
    }
}

#[test]
fn answers_are_twenty_at_random_and_reach_everyone() {
    let now = Instant::now();
    let mut store = store(1);
    for n in 0..100 {
        assert!(add(&mut store, b"mesh", n, IpPrefix::Loopback, now));
    }
    let mut seen = BTreeMap::new();
    for _ in 0..500 {
        let answer = store.answer(b"mesh", now);
        assert_eq!(answer.len(), ANSWER_PROVIDERS_MAX);
        for (peer, multiaddrs) in answer {
            assert_eq!(multiaddrs, [multiaddr(number(&peer))]);
            *seen.entry(peer).or_insert(0) += 1;
        }
    }
    // 100 expected, standard deviation 9.
    assert_eq!(seen.len(), 100);
    assert!(seen.values().all(|count| (55..=145).contains(count)), "{seen:?}");
    assert_eq!(store.answer(b"other", now), []);
}

#[test]
fn four_an_address_and_the_newest_run_is_always_in() {
    let now = Instant::now();
    let mut store = store(2);
    for n in 0..100 {
        assert!(add(&mut store, b"mesh", n, address(7), now));
        let held: Vec<u64> = store
            .answer(b"mesh", now)
            .iter()
            .map(|(peer, _)| number(peer))
            .collect();
        assert!(held.len() <= KEY_PREFIX_PROVIDERS_MAX && held.contains(&n), "{held:?}");
        check(&store);
    }
    assert_eq!(store.len(), KEY_PREFIX_PROVIDERS_MAX);
}

#[test]
fn a_flood_from_one_network_does_not_hide_the_rest() {
    let now = Instant::now();
    let mut store = store(3);
    for n in 0..20 {
        add(&mut store, b"mesh", n, address(n << 8), now);
    }
    // 10,000 fakes, each at a /64 of its own in one /48.
    for n in 1_000..11_000_u64 {
        let [.., a, b] = n.to_be_bytes();
        assert!(add(
            &mut store,
            b"mesh",
            n,
            IpPrefix::V6([0x20, 1, 2, 3, 4, 5, a, b]),
            now
        ));
    }
    check(&store);
    assert_eq!(store.keys[&b"mesh"[..]].len(), KEY_PROVIDERS_MAX);
    assert!(
        (0..20).all(|n| store.keys[&b"mesh"[..]].contains_key(&peer(n))),
        "an honest provider was pushed out"
    );
}

#[test]
fn a_full_key_on_one_machine_still_takes_newcomers() {
    let now = Instant::now();
    let mut store = store(4);
    for n in 0..1_000 {
        assert!(add(&mut store, b"mesh", n, IpPrefix::Memory, now));
        assert!(store.keys[&b"mesh"[..]].contains_key(&peer(n)));
    }
    check(&store);
    assert_eq!(store.len(), KEY_PROVIDERS_MAX);
}

#[test]
fn a_flood_of_keys_pushes_out_its_own() {
    let now = Instant::now();
    let mut store = store(5);
    // The flood opens the mesh's key first, so that it looks like one of its own.
    let flood = |n: u64| IpPrefix::V4([66, 6, 6, n as u8]);
    add(&mut store, b"mesh", 1, flood(0), now);
    add(&mut store, b"mesh", 2, address(1 << 8), now);
    for n in 0..20_000_u64 {
        assert!(add(&mut store, &n.to_be_bytes(), 1_000 + n, flood(n), now));
    }
    check(&store);
    assert_eq!(store.networks[&Network::around(flood(0))].len(), NETWORK_ENTRIES_MAX);
    assert!(store.keys[&b"mesh"[..]].contains_key(&peer(2)));

    // Many networks fill all keys; the flood stays on the mesh's key, which must not go with its other ones.
    for n in 0..20_000_u64 {
        if n % 10 == 0 {
            add(&mut store, b"mesh", 1, flood(0), now);
        }
        add(
            &mut store,
            &(1 << 32 | n).to_be_bytes(),
            n,
            address((n % 40) << 8 | 1 << 20),
            now,
        );
    }
    check(&store);
    assert_eq!(store.keys.len(), KEYS_MAX);
    // An honest newcomer still opens a key.
    assert!(add(&mut store, b"new mesh", 3, address(9 << 8), now));
    assert!(store.keys[&b"mesh"[..]].contains_key(&peer(2)));
    assert_eq!(store.answer(b"new mesh", now).len(), 1);
    check(&store);
}

#[test]
fn providers_expire_unless_they_announce_again() {
    let start = Instant::now();
    let mut store = store(6);
    add(&mut store, b"mesh", 1, address(1), start);
    add(&mut store, b"mesh", 2, address(2), start);
    let later = start + Duration::from_secs(180);
    add(&mut store, b"mesh", 2, address(3), later);
    let over = start + PROVIDER_TTL;
    let held = |store: &Providers, now| {
        store
            .answer(b"mesh", now)
            .iter()
            .map(|(peer, _)| number(peer))
            .collect::<Vec<_>>()
    };
    assert_eq!(held(&store, over - Duration::from_millis(1)).len(), 2);
    assert_eq!(held(&store, over), [2]);
    assert_eq!(store.len(), 2);
    store.expire(over);
    assert_eq!(store.len(), 1);
    check(&store);
    store.expire(later + PROVIDER_TTL);
    assert!(store.is_empty() && store.keys.is_empty() && store.networks.is_empty());
}

#[test]
fn own_keys_are_kept_apart_and_always_answered() {
    let start = Instant::now();
    let mut store = store(7);
    assert!(store.add(b"mesh", peer(ME), vec![], IpPrefix::Unknown, start));
    for n in 0..1_000 {
        add(&mut store, b"mesh", n, IpPrefix::Loopback, start);
    }
    let answer = store.answer(b"mesh", start);
    assert_eq!(answer.len(), ANSWER_PROVIDERS_MAX);
    assert_eq!(answer.iter().filter(|(provider, _)| *provider == peer(ME)).count(), 1);
    store.expire(start + 10 * PROVIDER_TTL);
    assert_eq!(store.answer(b"mesh", start + 10 * PROVIDER_TTL), [(peer(ME), vec![])]);
    assert_eq!(store.own_keys().collect::<Vec<_>>(), [b"mesh"]);
    store.remove(b"mesh", &peer(ME));
    assert_eq!(store.own_keys().count(), 0);
}

#[test]
fn hostile_keys_and_lists_are_cut() {
    let now = Instant::now();
    let mut store = store(8);
    assert!(!add(&mut store, &[0; KEY_BYTES_MAX + 1], 1, address(1), now));
    assert!(store.add(b"mesh", peer(1), (0..100).map(multiaddr).collect(), address(1), now));
    assert_eq!(store.answer(b"mesh", now)[0].1.len(), PROVIDER_MULTIADDRS_MAX);
    store.remove(b"mesh", &peer(2));
    store.remove(b"mesh", &peer(1));
    assert!(store.is_empty());
    check(&store);
}
