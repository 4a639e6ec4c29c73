//! Which layer to raise next, from measured errors and prices alone.

use super::rungs::Priced;
use crate::quant::Scheme;
use std::collections::BTreeMap;

/// What it means for a layer to stand on a rung.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) scheme: Scheme,
    /// Square of the model's output error if this layer alone is quantized. Errors of layers are nearly
    /// independent, so that their squares add up.
    pub(super) squared_error: f64,
    /// What it takes, in any unit of time.
    pub(super) time: f64,
}

/// A layer that may be raised.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    /// Bytes of its weight as floats.
    pub(super) float_bytes: usize,
    /// The rungs open to it, from fast to precise. It starts on the first.
    pub(super) positions: Vec<Position>,
}

/// Where every layer stands.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    layers: Vec<Layer>,
    at: Vec<usize>,
    /// Bytes of weights that may still be left as floats.
    floats_left: usize,
}

impl Climb {
    /// All layers on their first rung.
    pub(super) fn new(layers: Vec<Layer>, floats_left: usize) -> Climb {
        Climb { at: vec![0; layers.len()], layers, floats_left }
    }

    /// The sum of the squared errors.
    pub(super) fn squared_error(&self) -> f64 {
        self.positions().map(|(_, position)| position.squared_error).sum()
    }

    /// The layers that stand higher than they started, and their rungs.
    pub(super) fn raised(&self) -> BTreeMap<String, Scheme> {
        let raised = self.positions().zip(&self.at).filter(|(_, at)| **at > 0);
        raised.map(|((layer, position), _)| (layer.name.clone(), position.scheme)).collect()
    }

    /// What every layer takes on every rung.
    pub(super) fn prices(&self) -> Vec<Priced> {
        let prices = self.layers.iter().map(|layer| {
            let times = layer.positions.iter().map(|s| (s.scheme, s.time));
            Priced { weight: layer.name.clone(), times: times.collect() }
        });
        prices.collect()
    }

    /// Raises the layer that saves the most squared error for its time; `false` if none saves any.
    pub(super) fn raise(&mut self) -> bool {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, layer) in self.layers.iter().enumerate() {
            let now = layer.positions[self.at[i]];
            for (to, next) in layer.positions.iter().enumerate().skip(self.at[i] + 1) {
                let saved = now.squared_error - next.squared_error;
                let affordable = !next.scheme.is_float() || layer.float_bytes <= self.floats_left;
                if !affordable || saved.is_nan() || saved <= 0.0 {
                    continue;
                }
                let worth = saved / (next.time - now.time).max(f64::MIN_POSITIVE);
                if best.is_none_or(|(most, ..)| worth > most) {
                    best = Some((worth, i, to));
                }
            }
        }
        let Some((_, layer, to)) = best else { return false };
        self.at[layer] = to;
        if self.layers[layer].positions[to].scheme.is_float() {
            self.floats_left -= self.layers[layer].float_bytes;
        }
        true
    }

    /// Lowers layers again, those first that save the most time, while the sum of squared errors stays
    /// within `most`: the last layer that was raised may have saved more than was needed.
    pub(super) fn relax(&mut self, most: f64) {
        loop {
            let mut best: Option<(f64, usize, usize)> = None;
            let error = self.squared_error();
            for (i, layer) in self.layers.iter().enumerate() {
                let now = layer.positions[self.at[i]];
                for (to, lower) in layer.positions[..self.at[i]].iter().enumerate() {
                    let fits = error - now.squared_error + lower.squared_error <= most;
                    let saved = now.time - lower.time;
                    if fits && saved > 0.0 && best.is_none_or(|(longest, ..)| saved > longest) {
                        best = Some((saved, i, to));
                    }
                }
            }
            let Some((_, layer, to)) = best else { return };
            if self.layers[layer].positions[self.at[layer]].scheme.is_float() {
                self.floats_left += self.layers[layer].float_bytes;
            }
            self.at[layer] = to;
        }
    }

    fn positions(&self) -> impl Iterator<Item = (&Layer, Position)> {
        self.layers.iter().zip(&self.at).map(|(layer, &at)| (layer, layer.positions[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, float_bytes: usize, positions: &[(Scheme, f64, f64)]) -> Layer {
        let positions = positions
            .iter()
            .map(|&(scheme, squared_error, time)| Position { scheme, squared_error, time })
            .collect();
        Layer { name: name.to_string(), float_bytes, positions }
    }

    #[test]
    fn the_layer_that_saves_most_for_its_time_is_raised_first() {
        let mut climb = Climb::new(
            vec![
                layer("large", 100, &[(Scheme::STATIC, 9.0, 10.0), (Scheme::DYNAMIC, 1.0, 20.0)]),
                layer("small", 100, &[(Scheme::STATIC, 4.0, 1.0), (Scheme::DYNAMIC, 1.0, 2.0)]),
            ],
            0,
        );
        assert_eq!(climb.squared_error(), 13.0);
        assert!(climb.raise());
        assert_eq!(climb.raised(), BTreeMap::from([("small".to_string(), Scheme::DYNAMIC)]));
        assert!(climb.raise());
        assert_eq!(climb.squared_error(), 2.0);
        assert!(!climb.raise(), "nothing is left to raise");
    }

    #[test]
    fn a_rung_that_saves_nothing_is_passed_by() {
        let positions = [
            (Scheme::STATIC, 4.0, 1.0),
            (Scheme::DYNAMIC, 4.0, 2.0),
            (Scheme::DYNAMIC_BLOCKS, 2.0, 3.0),
        ];
        let mut climb = Climb::new(vec![layer("only", 100, &positions)], 0);
        assert!(climb.raise());
        assert_eq!(climb.raised()["only"], Scheme::DYNAMIC_BLOCKS);
    }

    #[test]
    fn floats_are_taken_only_where_few_bytes_are_lost() {
        let positions = [(Scheme::STATIC, f64::INFINITY, 1.0), (Scheme::Float, 0.0, 4.0)];
        let layers = vec![layer("a", 60, &positions), layer("b", 60, &positions)];
        let mut climb = Climb::new(layers, 100);
        assert!(climb.raise());
        assert!(!climb.raise());
        assert_eq!(climb.raised().len(), 1);
    }

    #[test]
    fn what_was_raised_too_far_is_lowered_again() {
        let positions =
            [(Scheme::STATIC, 4.0, 1.0), (Scheme::DYNAMIC, 2.0, 3.0), (Scheme::Float, 0.0, 4.0)];
        let mut climb =
            Climb::new(vec![layer("a", 60, &positions), layer("b", 60, &positions)], 60);
        while climb.raise() {}
        assert_eq!(climb.squared_error(), 2.0);
        climb.relax(4.0);
        assert_eq!(climb.squared_error(), 4.0);
        climb.relax(8.0);
        assert!(climb.raised().is_empty());
        assert_eq!(climb.floats_left, 60);
    }

    #[test]
    fn what_cannot_be_measured_is_not_a_gain() {
        let positions = [(Scheme::STATIC, f64::NAN, 1.0), (Scheme::DYNAMIC, f64::NAN, 2.0)];
        assert!(!Climb::new(vec![layer("a", 1, &positions)], 0).raise());
    }
}
