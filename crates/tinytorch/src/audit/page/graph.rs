//! The layers of a model as a graph, with error and time on each.

use super::svg::{largest, share};
use super::text::{microseconds, with_unit};
use crate::audit::LayerReport;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Width and height of a layer.
const BOX: (f64, f64) = (220.0, 52.0);

/// From one layer to the next, across and down.
const STEP: (f64, f64) = (240.0, 84.0);

/// Layers that are drawn at most: a page that is longer tells less than the table.
const MOST: usize = 300;

/// Letters of a name that fit into a box.
const LETTERS: usize = 30;

/// Whether there is something to draw: layers that are known to feed others.
pub(super) fn is_known(layers: &[LayerReport]) -> bool {
    layers.len() <= MOST && layers.iter().any(|layer| !layer.after.is_empty())
}

/// Each layer below those whose results it reads, the more of its own error the fuller its bar.
pub(super) fn draw(layers: &[LayerReport]) -> Markup {
    let places = places(layers);
    let columns = places.iter().map(|at| at[0]).max().unwrap_or(0) + 1;
    let rows = places.iter().map(|at| at[1]).max().unwrap_or(0) + 1;
    let size = (columns as f64 * STEP.0, rows as f64 * STEP.1);
    let error = largest(layers.iter().map(|layer| layer.own_error_percent));
    let time = largest(layers.iter().filter_map(|layer| layer.int8_microseconds));
    let names: BTreeMap<&str, usize> =
        layers.iter().enumerate().map(|(place, layer)| (layer.name.as_str(), place)).collect();
    html! {
        p.quiet {
            "A layer reads what those above it give, through whatever lies between. Its upper bar is the error that it adds, its lower one the time that it "
            "takes in int8."
        }
        div.scroll {
            svg.graph width=(size.0) height=(size.1) role="img" {
                title { "The layers and what they read" }
                @for (layer, to) in layers.iter().zip(&places) {
                    @for from in layer.after.iter().filter_map(|name| names.get(name.as_str())) {
                        path d=(edge(places[*from], *to)) {}
                    }
                }
                @for (layer, at) in layers.iter().zip(&places) { (drawn(layer, *at, error, time)) }
            }
        }
    }
}

/// The column and row of each layer: a row below the lowest that it reads, beside what is there already.
fn places(layers: &[LayerReport]) -> Vec<[usize; 2]> {
    let (mut rows, mut taken) = (BTreeMap::new(), BTreeMap::<usize, usize>::new());
    let mut places = Vec::with_capacity(layers.len());
    for layer in layers {
        let above = layer.after.iter().filter_map(|name| rows.get(name.as_str()));
        let row = above.max().map_or(0, |row: &usize| row + 1);
        let column = taken.entry(row).or_default();
        places.push([*column, row]);
        *column += 1;
        rows.insert(layer.name.as_str(), row);
    }
    places
}

fn corner([column, row]: [usize; 2]) -> (f64, f64) {
    let inner = (0.5 * (STEP.0 - BOX.0), 0.5 * (STEP.1 - BOX.1));
    (column as f64 * STEP.0 + inner.0, row as f64 * STEP.1 + inner.1)
}

fn edge(from: [usize; 2], to: [usize; 2]) -> String {
    let ((x, y), (to_x, to_y)) = (corner(from), corner(to));
    let (x, y, to_x) = (x + 0.5 * BOX.0, y + BOX.1, to_x + 0.5 * BOX.0);
    let bend = 0.5 * (STEP.1 - BOX.1);
    format!("M{x} {y}C{x} {} {to_x} {} {to_x} {to_y}", y + bend, to_y - bend)
}

fn drawn(layer: &LayerReport, at: [usize; 2], most_error: f64, most_time: f64) -> Markup {
    let (x, y) = corner(at);
    let name = layer.node.as_deref().unwrap_or(&layer.name);
    let error = with_unit(layer.own_error_percent, "%");
    let time = layer.int8_microseconds.map(microseconds);
    let words = match &time {
        Some(time) => format!("{error}, {time}"),
        None => error,
    };
    let bar = |value: f64, full: f64| format!("{:.1}", share(value, full) * (BOX.0 - 16.0));
    html! {
        g {
            title { (name) ", " (layer.name) ": " (words) }
            rect.layer x=(x) y=(y) width=(BOX.0) height=(BOX.1) rx="8" {}
            text x=(x + 8.0) y=(y + 16.0) { (shortened(name)) }
            text.quiet x=(x + 8.0) y=(y + 31.0) { (words) }
            rect.own x=(x + 8.0) y=(y + 37.0) width=(bar(layer.own_error_percent, most_error)) height="4" {}
            rect.int8 x=(x + 8.0) y=(y + 43.0) width=(bar(layer.int8_microseconds.unwrap_or(0.0), most_time)) height="4" {}
        }
    }
}

/// The end of a name, by which those of a graph differ.
fn shortened(name: &str) -> String {
    let letters = name.chars().count();
    match letters > LETTERS {
        true => format!("…{}", name.chars().skip(letters - LETTERS).collect::<String>()),
        false => name.to_string(),
    }
}
