//! Random numbers that every machine draws the same: a counter and a key give them, no state is carried along. Philox4x32-10
//! (Salmon, Moraes, Dror, Shaw 2011), and normal deviates from it by Box and Muller with `libm`'s functions, which are the same
//! code everywhere.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// Four random words.
pub(crate) fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter;
    let mut key = key;
    for _ in 0..ROUNDS {
        let product = |multiplier: u32, word: u32| {
            let [high, low] = [32, 0].map(|shift| ((u64::from(multiplier) * u64::from(word)) >> shift) & 0xFFFF_FFFF);
            // Both are below 2^32.
            #[allow(clippy::cast_possible_truncation)]
            (high as u32, low as u32)
        };
        let (high_0, low_0) = product(MULTIPLIERS[0], words[0]);
        let (high_1, low_1) = product(MULTIPLIERS[1], words[2]);
        words = [high_1 ^ words[1] ^ key[0], low_1, high_0 ^ words[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    words
}

/// Two independent standard normal deviates: the pair of this number in the stream of this seed and task.
pub(crate) fn normals(seed: u64, task: u32, number: u64, part: u32) -> [f64; 2] {
    let [seed_high, seed_low] = halves(seed);
    let [high, low] = halves(number);
    let words = philox([low, high, task, part], [seed_low, seed_high]);
    let unit = |a: u32, b: u32| {
        let bits = (u64::from(a) << 32 | u64::from(b)) >> 11;
        // 53 bits; never 0, whose logarithm there is none of.
        #[allow(clippy::cast_precision_loss)]
        let unit = (bits as f64 + 0.5) * (1.0 / (1_u64 << 53) as f64);
        unit
    };
    let (first, second) = (unit(words[0], words[1]), unit(words[2], words[3]));
    let radius = libm::sqrt(-2.0 * libm::log(first));
    let angle = 2.0 * std::f64::consts::PI * second;
    [radius * libm::cos(angle), radius * libm::sin(angle)]
}

fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' own known answers.
    #[test]
    fn philox_gives_its_known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_deviates_are_normal() {
        let count = 100_000;
        let drawn = (0..count / 2).flat_map(|number| normals(7, 3, number, 0));
        let (mut sum, mut squares, mut far) = (0.0, 0.0, 0);
        for value in drawn {
            sum += value;
            squares += value * value;
            far += u32::from(value.abs() > 1.96);
        }
        let count = count as f64;
        assert!((sum / count).abs() < 4.0 / count.sqrt());
        assert!((squares / count - 1.0).abs() < 4.0 * (2.0 / count).sqrt());
        assert!((f64::from(far) / count - 0.05).abs() < 0.003);
    }
}
