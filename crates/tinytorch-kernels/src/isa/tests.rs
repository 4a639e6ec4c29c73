//! Every operation on every instruction set, against the same operation on single values.

use super::*;

/// Awkward values first, so that every ISA's first vector holds them.
fn samples(count: usize) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        1e-40,
        3.4e38,
        -3.4e38,
        255.49,
        -127.5,
        8388607.5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    (0..count).map(|i| special.get(i).copied().unwrap_or((i as f32 * 0.77).sin() * 300.0)).collect()
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

type Unary = fn(f32) -> f32;
type Binary = fn(f32, f32) -> f32;

struct Elementwise<'a>(&'a [f32], &'a [f32]);

impl Kernel for Elementwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut got = vec![0.0; S::LANES];
        for (a, b) in self.0.chunks_exact(S::LANES).zip(self.1.chunks_exact(S::LANES)) {
            let (x, y) = (s.load(a), s.load(b));
            let unary: [(&str, S::F32, Unary); 4] = [
                ("neg", s.neg(x), |a| -a),
                ("abs", s.abs(x), f32::abs),
                ("sqrt", s.sqrt(x), f32::sqrt),
                ("round", s.round(x), f32::round_ties_even),
            ];
            for (name, v, want) in unary {
                s.store(v, &mut got);
                for i in 0..S::LANES {
                    assert!(same(got[i], want(a[i])), "{name}({}) = {}", a[i], got[i]);
                }
            }
            let binary: [(&str, S::F32, Binary); 9] = [
                ("add", s.add(x, y), |a, b| a + b),
                ("sub", s.sub(x, y), |a, b| a - b),
                ("mul", s.mul(x, y), |a, b| a * b),
                ("div", s.div(x, y), |a, b| a / b),
                ("min", s.min(x, y), |a, b| if a < b { a } else { b }),
                ("max", s.max(x, y), |a, b| if a > b { a } else { b }),
                ("lt", s.select(s.lt(x, y), x, y), |a, b| if a < b { a } else { b }),
                ("le", s.select(s.le(x, y), x, y), |a, b| if a <= b { a } else { b }),
                ("eq", s.select(s.eq(x, y), x, y), |a, b| if a == b { a } else { b }),
            ];
            for (name, v, want) in binary {
                s.store(v, &mut got);
                for i in 0..S::LANES {
                    assert!(
                        same(got[i], want(a[i], b[i])),
                        "{name}({}, {}) = {}",
                        a[i],
                        b[i],
                        got[i]
                    );
                }
            }
        }
    }
}

#[test]
fn elementwise_operations_match_single_values() {
    let a = samples(64);
    for shift in 0..16 {
        let mut b = a.clone();
        b.rotate_left(shift);
        for isa in Isa::available() {
            isa.run(Elementwise(&a, &b));
        }
    }
}

struct Integers;

impl Kernel for Integers {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let a: Vec<i32> = (0..16).map(|i| (i - 7) * 0x0765_4321).collect();
        let b: Vec<i32> = (0..16).map(|i| (5 - i) * 0x0012_3457).collect();
        let (x, y) = (s.load_i32(&a), s.load_i32(&b));
        let mut got = vec![0; S::LANES];
        let mut check = |name: &str, v: S::I32, want: &dyn Fn(i32, i32) -> i32| {
            s.store_i32(v, &mut got);
            for i in 0..S::LANES {
                assert_eq!(got[i], want(a[i], b[i]), "{name}({}, {})", a[i], b[i]);
            }
        };
        check("add", s.add_i32(x, y), &|a, b| a.wrapping_add(b));
        check("sub", s.sub_i32(x, y), &|a, b| a.wrapping_sub(b));
        check("mul", s.mul_i32(x, y), &|a, b| a.wrapping_mul(b));
        check("min", s.min_i32(x, y), &|a, b| a.min(b));
        check("max", s.max_i32(x, y), &|a, b| a.max(b));
        check("and", s.and_i32(x, y), &|a, b| a & b);
        check("or", s.or_i32(x, y), &|a, b| a | b);
        check("shl", s.shl(x, 23), &|a, _| a << 23);
        check("shr", s.shr(x, 24), &|a, _| a >> 24);
        check("bits", s.to_bits(s.bits_to_f32(x)), &|a, _| a);
        check("from and to i32", s.to_i32_trunc(s.i32_to_f32(s.shr(x, 8))), &|a, _| a >> 8);
        check("bytes", s.bytes_to_i32(s.i32_to_bytes(x)), &|a, _| a);
        check("splat", s.splat_i32(-9), &|_, _| -9);

        let bytes: Vec<u8> = (0..16).map(|i| 250u8.wrapping_add(i * 3)).collect();
        let signed: Vec<i8> = bytes.iter().map(|b| b.cast_signed()).collect();
        check("load_u8", s.sub_i32(s.load_u8(&bytes), s.load_i8(&signed)), &|a, _| {
            let i = (a / 0x0765_4321 + 7) as usize;
            i32::from(bytes[i]) - i32::from(signed[i])
        });
        let mut low = vec![0; S::LANES];
        s.store_low_bytes(x, &mut low);
        assert!(low.iter().zip(&a).all(|(low, a)| *low == *a as u8));
    }
}

#[test]
fn integer_operations_match_single_values() {
    Isa::available().into_iter().for_each(|isa| isa.run(Integers));
}

struct Conversions;

impl Kernel for Conversions {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x: Vec<f32> = (0..16).map(|i| i as f32 * 0.5 - 3.0).collect();
        let mut got = vec![0; S::LANES];
        s.store_i32(s.to_i32(s.load(&x)), &mut got);
        assert!(got.iter().zip(&x).all(|(got, x)| *got as f32 == x.round_ties_even()));
        s.store_i32(s.to_i32_trunc(s.load(&x)), &mut got);
        assert!(got.iter().zip(&x).all(|(got, x)| *got as f32 == x.trunc()));

        let numbers: Vec<i32> = (0..64).map(|i| 37 * i - 700).collect();
        let four = std::array::from_fn(|i| s.load_i32(&numbers[i * S::LANES..]));
        let mut bytes = vec![0; 4 * S::LANES];
        s.store_low_bytes_of_four(four, &mut bytes);
        assert!(bytes.iter().zip(&numbers).all(|(got, number)| *got == *number as u8));
        assert_lowest::<S, 2>(s, &numbers);
        assert_lowest::<S, 3>(s, &numbers);

        let halves: Vec<half::f16> = x.iter().map(|x| half::f16::from_f32(*x)).collect();
        let v = s.load_f16(&halves);
        let lanes = &x[..S::LANES];
        assert_eq!(s.sum(v), lanes.iter().sum::<f32>());
        assert_eq!(s.max_lane(v), lanes[S::LANES - 1]);
        assert_eq!(s.min_lane(v), lanes[0]);
        let fused = s.mul_add(v, s.splat(2.0), s.splat(1.0));
        assert_eq!(s.sum(fused), lanes.iter().map(|x| 2.0 * x + 1.0).sum::<f32>());
    }
}

fn assert_lowest<S: Simd, const N: usize>(s: S, numbers: &[i32]) {
    let mut bytes = vec![0; N * S::LANES + 16];
    s.store_lowest::<N>(s.load_i32(numbers), &mut bytes);
    let want =
        numbers[..S::LANES].iter().flat_map(|number| number.to_le_bytes().into_iter().take(N));
    assert!(want.eq(bytes[..N * S::LANES].iter().copied()));
}

#[test]
fn conversions_and_reductions_are_exact_on_small_integers() {
    Isa::available().into_iter().for_each(|isa| isa.run(Conversions));
}

struct Pairs;

impl Kernel for Pairs {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x: Vec<f32> = (0..2 * S::LANES).map(|i| i as f32).collect();
        let [first, next] = [s.load(&x), s.load(&x[S::LANES..])];
        let mut shifted = vec![0.0; S::LANES];
        s.store(s.shift_up(first, next), &mut shifted);
        assert_eq!(shifted, x[S::LANES - 1..2 * S::LANES - 1]);
        s.store(s.shift_down(first, next), &mut shifted);
        assert_eq!(shifted, x[1..=S::LANES]);
        let [even, odd] = s.split_pairs(s.load(&x), s.load(&x[S::LANES..]));
        let mut got = vec![0.0; S::LANES];
        for (of, v) in [even, odd].into_iter().enumerate() {
            s.store(v, &mut got);
            assert!(got.iter().enumerate().all(|(i, got)| *got == x[2 * i + of]), "{got:?}");
        }
        for (v, want) in s.join_pairs(even, odd).into_iter().zip(x.chunks(S::LANES)) {
            s.store(v, &mut got);
            assert_eq!(got, want);
        }
    }
}

#[test]
fn pairs_are_split_and_joined() {
    Isa::available().into_iter().for_each(|isa| isa.run(Pairs));
}

struct Partial;

impl Kernel for Partial {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x: Vec<f32> = (1..=40).map(|i| i as f32).collect();
        for len in 0..=x.len() {
            let mut all = vec![-1.0; S::LANES];
            s.store(s.load_partial(&x[..len]), &mut all);
            for (i, got) in all.iter().enumerate() {
                assert_eq!(*got, if i < len { x[i] } else { 0.0 });
            }
            let mut out = [-1.0; 40];
            s.store_partial(s.load(&x), &mut out[..len]);
            for (i, got) in out.iter().enumerate() {
                assert_eq!(*got, if i < len.min(S::LANES) { x[i] } else { -1.0 });
            }
        }
    }
}

#[test]
fn partial_loads_and_stores_stay_inside_the_slice() {
    Isa::available().into_iter().for_each(|isa| isa.run(Partial));
}

struct Dots;

impl Kernel for Dots {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let quad = [255u8, 254, 0, 255];
        let w: Vec<i8> = (0..64).map(|i| [127, 127, -128, -128, 64, 64, -64, 3][i % 8]).collect();
        let small: Vec<i8> = w.iter().map(|w| w / 2).collect();
        let want = |w: &[i8], i: usize| -> i32 {
            (0..4).map(|j| i32::from(quad[j]) * i32::from(w[4 * i + j])).sum::<i32>() + 7
        };
        let mut got = vec![0; S::LANES];
        // SAFETY: `quad` holds 4 bytes and the weights `4 * LANES`.
        let (a, all, halves) = unsafe {
            (s.splat_bytes(quad.as_ptr()), s.load_bytes(w.as_ptr()), s.load_bytes(small.as_ptr()))
        };
        s.store_i32(s.dot(s.splat_i32(7), a, all), &mut got);
        assert!((0..S::LANES).all(|i| got[i] == want(&w, i)));
        s.store_i32(s.dot_pair_rule(s.splat_i32(7), a, halves), &mut got);
        assert!((0..S::LANES).all(|i| got[i] == want(&small, i)));

        let wide: Vec<u8> = quad.iter().flat_map(|&q| u16::from(q).to_le_bytes()).collect();
        let mut sums = s.splat_i32(7);
        for (levels, weights) in wide.chunks_exact(4).zip(s.widen_quads(all)) {
            // SAFETY: `levels` holds 4 bytes.
            sums = s.dot_wide(sums, unsafe { s.splat_bytes(levels.as_ptr()) }, weights);
        }
        s.store_i32(sums, &mut got);
        assert!((0..S::LANES).all(|i| got[i] == want(&w, i)));

        for lanes in 0..=S::LANES {
            let exact = w[..4 * lanes].to_vec();
            // SAFETY: `exact` holds `4 * lanes` bytes.
            let some = unsafe { s.load_bytes_partial(exact.as_ptr(), lanes) };
            s.store_i32(s.dot(s.splat_i32(7), a, some), &mut got);
            for (i, got) in got.iter().enumerate() {
                assert_eq!(*got, if i < lanes { want(&w, i) } else { 7 });
            }
        }
        s.store_i32(s.bytes_to_i32(all), &mut got);
        assert_eq!(got[0], i32::from_le_bytes([127, 127, 128, 128]));
    }
}

#[test]
fn dot_is_exact_where_16_bits_would_saturate() {
    Isa::available().into_iter().for_each(|isa| isa.run(Dots));
}

struct Words;

impl Kernel for Words {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let bytes: Vec<u8> = (0..2 * S::LANES).map(|i| 255 - (i * 7) as u8).collect();
        let wide = s.widen_u8(&bytes);
        let most = s.i32_to_bytes(s.splat_i32(i32::from(i16::MAX) << 16 | 200));
        let numbers = |x: S::Bytes| {
            let mut lanes = vec![0; S::LANES];
            s.store_i32(s.bytes_to_i32(x), &mut lanes);
            lanes.into_iter().flat_map(|x| [x as i16, (x >> 16) as i16]).collect::<Vec<_>>()
        };
        for (i, byte) in bytes.into_iter().enumerate() {
            let (byte, other) = (i16::from(byte), [200, i16::MAX][i % 2]);
            assert_eq!(numbers(wide)[i], byte);
            assert_eq!(numbers(s.add_i16(wide, most))[i], byte.wrapping_add(other));
            assert_eq!(numbers(s.sub_i16(wide, most))[i], byte - other);
        }
    }
}

#[test]
fn numbers_of_16_bits_wrap_and_keep_their_places() {
    Isa::available().into_iter().for_each(|isa| isa.run(Words));
}

struct Interleaving;

impl Kernel for Interleaving {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let bytes: Vec<i8> = (0..256).map(|i| i as u8 as i8).collect();
        let mut taps = [s.i32_to_bytes(s.splat_i32(0)); 4];
        for i in 0..4 {
            // SAFETY: from each place at least 64 bytes follow, as many as the widest vector has.
            taps[i] = unsafe { s.load_bytes(bytes[64 * i..].as_ptr()) };
        }
        let mut got = vec![0; S::LANES];
        for (j, v) in s.interleave(taps).into_iter().enumerate() {
            s.store_i32(s.bytes_to_i32(v), &mut got);
            for lane in 0..S::LANES {
                let at = 16 * (lane / 4) + 4 * j + lane % 4;
                let want = [0, 1, 2, 3].map(|i| (64 * i + at) as u8);
                assert_eq!(got[lane].to_le_bytes(), want, "lane {lane} of vector {j}");
            }
        }

        // Each lane holds a number that tells where it belongs, or one out of range.
        let value = |at: usize| match at % 8 {
            0 => i32::MIN,
            1 => -1,
            2 => 256,
            3 => i32::MAX,
            4 => 70_000,
            _ => at as i32 * 3,
        };
        let mut vectors = [s.splat_i32(0); 4];
        for j in 0..4 {
            let lanes: Vec<i32> =
                (0..S::LANES).map(|lane| value(16 * (lane / 4) + 4 * j + lane % 4)).collect();
            vectors[j] = s.load_i32(&lanes);
        }
        let mut out = vec![7; 4 * S::LANES + 1];
        s.store_interleaved(vectors, &mut out);
        for at in 0..4 * S::LANES {
            assert_eq!(i32::from(out[at]), value(at).clamp(0, 255), "byte {at}");
        }
        assert_eq!(out[4 * S::LANES], 7);
    }
}

#[test]
fn storing_undoes_interleaving_and_saturates() {
    Isa::available().into_iter().for_each(|isa| isa.run(Interleaving));
}

struct EightsAreLanes<'a>(&'a [f32]);

impl Kernel for EightsAreLanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lines: Vec<&[f32]> = self.0.chunks_exact(6).collect();
        let mut got = [0.0; 8];
        // SAFETY: there are eight lines of six values.
        let columns = unsafe { s.transpose(&lines, 2) };
        for (p, column) in columns.into_iter().enumerate() {
            // SAFETY: `got` and the first eight samples are eight values.
            unsafe {
                s.store_eight(column, got.as_mut_ptr());
                for i in 0..8 {
                    assert_eq!(got[i], lines[i][2 + p], "element {p} of line {i}");
                }
                let sums = s.load_eight(self.0.as_ptr());
                let sums = s.mul_add_eight(s.splat_eight(3.0), column, sums);
                s.store_eight(sums, got.as_mut_ptr());
            }
            for i in 0..8 {
                assert_eq!(got[i], 3.0 * lines[i][2 + p] + self.0[i], "lane {i}");
            }
        }
    }
}

#[test]
fn eight_lines_are_transposed_and_added_up() {
    let values: Vec<f32> = (0..48).map(|i| (i * 7 % 41) as f32).collect();
    for isa in Isa::available() {
        isa.run(EightsAreLanes(&values));
    }
}

struct Scaling;

impl Kernel for Scaling {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut got = vec![0.0; S::LANES];
        for n in -253i32..=254 {
            for x in [0.5f32, 0.7, 1.0, 1.234_567_9, 1.999_999_9, f32::NAN] {
                s.store(s.scale_by_power(s.splat(x), s.splat(n as f32)), &mut got);
                // Doubles hold every such number, and round once.
                let want = (f64::from(x) * 2f64.powi(n)) as f32;
                assert!(same(got[0], want), "{x} 2^{n} = {}, not {want}", got[0]);
            }
        }
    }
}

#[test]
fn powers_of_two_scale_to_the_limits_of_floats() {
    Isa::available().into_iter().for_each(|isa| isa.run(Scaling));
}
