//! A call that finds a fresh token for one of many keys: what a map of providers adds to it, and how
//! much of that is the map's own.

use std::{hint::black_box, time::Duration};

use bloom_auth_core::TokenProviders;
use serde::{Deserialize, Serialize};

use crate::{
    Problem, floors,
    hot_path::{self, Issuer},
    interleave::{self, Kind, Plan, Setting, Subject},
    statistics::Figure,
};

/// How many keys there are; each at a time.
pub const KEYS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// So many keys are asked for at least before the first one is again, where chance has a part in it.
const LEAST_OF_RANDOM: usize = 4096;

/// In which order keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// One after the other: processors foresee a part of it.
    InTurn,
    /// The second key half as often as the first, the third a third as often: tenants are so.
    Zipf,
    /// Each as likely as any other: of many keys, each call waits for memory.
    Random,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::InTurn, Self::Zipf, Self::Random];

    /// What it is called in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InTurn => "in turn",
            Self::Zipf => "Zipf",
            Self::Random => "random",
        }
    }

    /// Which key comes when: a power of two of them, and always the same ones.
    fn of(self, keys: usize) -> Vec<usize> {
        let each = keys.next_power_of_two();
        match self {
            Self::InTurn => (0..each).map(|number| number % keys).collect(),
            Self::Random => {
                let mut random = Random(1);
                let key = |_| (random.fraction() * keys as f64) as usize;
                (0..each.max(LEAST_OF_RANDOM)).map(key).collect()
            }
            Self::Zipf => {
                let mut sum = 0.0;
                let weights = (1..=keys).map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                });
                let sums: Vec<f64> = weights.collect();
                // Who is asked for often is anywhere in memory.
                let places = scattered(keys);
                let mut random = Random(1);
                let key = |_| {
                    let rank = random.fraction() * sum;
                    let rank = sums.partition_point(|&sum| sum < rank);
                    places.get(rank).copied().unwrap_or_default()
                };
                (0..each.max(LEAST_OF_RANDOM)).map(key).collect()
            }
        }
    }
}

/// All keys in an order that has nothing to do with them.
fn scattered(keys: usize) -> Vec<usize> {
    let mut random = Random(2);
    let mut all: Vec<usize> = (0..keys).collect();
    for place in (1..keys).rev() {
        all.swap(place, (random.fraction() * (place + 1) as f64) as usize);
    }
    all
}

/// SplitMix64: chance that is the same each time.
struct Random(u64);

impl Random {
    /// At least 0 and less than 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// How many keys there are.
    pub keys: usize,
    /// In which order they are asked for.
    pub order: Order,
    /// This library's, in nanoseconds a call.
    pub ours: Figure,
    /// A map with headers and nothing else.
    pub map: Figure,
    /// A call of a single provider, in the same rounds.
    pub hot_path: Figure,
    /// A read of one of as many cache lines, which depends on the read before it.
    pub memory: Figure,
}

fn key(number: usize) -> String {
    format!("tenant-{number:06}")
}

/// Providers of all keys, each with a fresh token.
///
/// # Errors
///
/// If no runtime or no token is to be had.
pub fn providers(keys: usize) -> Result<TokenProviders<String>, Problem> {
    let issuer = Issuer::new(Duration::ZERO);
    let issues = issuer.clone();
    let providers = TokenProviders::builder(move |_: &String| issues.provider())
        .max_providers(2 * keys)
        .build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        for number in 0..keys {
            providers.authorization(&key(number)).await?;
        }
        Ok::<_, bloom_auth_core::Error>(())
    })?;
    if issuer.requests() != keys {
        return Err(format!("{} requests for {keys} keys", issuer.requests()).into());
    }
    Ok(providers)
}

/// Asks for one key after the other in an order.
fn ours(providers: &TokenProviders<String>, keys: usize, order: Order) -> Subject {
    let (providers, all) = (providers.clone(), asked_for(keys, order));
    let mask = all.len() as u64 - 1;
    Subject::of_calls("by key", Kind::Ours, move |number| {
        let key = all.get((number & mask) as usize)?;
        black_box(&providers).try_authorization(key)
    })
}

/// The keys in the order in which they are asked for, which is theirs in memory: callers have their
/// key at hand.
#[must_use]
pub fn asked_for(keys: usize, order: Order) -> Vec<String> {
    order.of(keys).into_iter().map(key).collect()
}

/// Measures each number of keys in each order, turn by turn with a map and with the hot path.
///
/// # Errors
///
/// If a token is not to be had.
pub fn measure(quick: bool) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    let most = if quick { 1_000 } else { usize::MAX };
    for keys in KEYS.into_iter().filter(|&keys| keys <= most) {
        let providers = providers(keys)?;
        let map = std::sync::Arc::new(floors::map((0..keys).map(key))?);
        let held = hot_path::held()?;
        let mut subjects = vec![Subject::of_calls(hot_path::CALL, Kind::Ours, move |_| {
            black_box(&held).try_authorization()
        })];
        subjects.push(floors::memory(&scattered(keys)));
        for order in Order::ALL {
            subjects.push(ours(&providers, keys, order));
            let (map, all) = (map.clone(), asked_for(keys, order));
            let mask = all.len() as u64 - 1;
            subjects.push(Subject::of_calls("map", Kind::Floor, move |number| {
                let key = all.get((number & mask) as usize)?;
                black_box(&*map).get(key).cloned()
            }));
        }
        // Once around, so that no turn is the first for its keys.
        for subject in &subjects {
            subject.run(2 * keys as u64)?;
        }
        let figures =
            interleave::measure(&subjects, Setting::Threads(1), Plan::of_keys(keys, quick))?;
        let [hot_path, memory, by_key @ ..] = figures.as_slice() else {
            return Err("nothing was measured".into());
        };
        for (order, figures) in Order::ALL.into_iter().zip(by_key.chunks_exact(2)) {
            let [ours, map] = figures else { continue };
            rows.push(Row {
                keys,
                order,
                ours: *ours,
                map: *map,
                hot_path: *hot_path,
                memory: *memory,
            });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_of_the_keys_that_there_are() {
        for keys in [1, 10, 1_000, 5_000] {
            for order in Order::ALL {
                let all = order.of(keys);
                assert!(all.len().is_power_of_two());
                assert!(all.iter().all(|&key| key < keys), "{order:?} of {keys}");
                assert_eq!(all, order.of(keys), "it is always the same");
            }
        }
        assert_eq!(Order::InTurn.of(3), [0, 1, 2, 0]);
    }

    #[test]
    fn zipf_asks_for_few_often_and_random_for_all_alike() {
        let often = |order: Order| {
            let mut counts = vec![0; 1_000];
            for key in order.of(1_000) {
                counts[key] += 1;
            }
            counts.sort_unstable();
            (counts[990..].iter().sum::<usize>(), counts[999])
        };
        // Of 4,096 calls the ten first keys of a thousand get 39 %, and the first one 13 %.
        let (ten, one) = often(Order::Zipf);
        assert!((1_450..1_750).contains(&ten), "{ten}");
        assert!((450..650).contains(&one), "{one}");
        let (ten, one) = often(Order::Random);
        assert!(ten < 200 && one < 20, "{ten} {one}");
    }

    #[test]
    fn every_key_and_order_is_measured() {
        let rows = measure(true).unwrap();
        assert_eq!(rows.len(), 4 * Order::ALL.len());
        assert!(rows.iter().all(|row| row.ours.min > 0.0));
    }
}
