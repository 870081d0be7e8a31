//! The ways between hosts as a picture: where each cell is, what it shows and what it says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Level, Pair, Report};
use crate::inventory::Role;

/// Edge of a cell, and the space between two, in the units of the picture.
const SIZE: usize = 18;
/// Columns of a block: so many are still readable on a sheet of paper.
const COLUMNS: usize = 50;
/// Width of a letter of the labels.
const LETTER: usize = 8;

/// A part of the matrix that fits on a page.
#[derive(Debug, Serialize)]
pub(super) struct Block {
    width: usize,
    height: usize,
    size: usize,
    columns: Vec<Label>,
    rows: Vec<Label>,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Label {
    name: String,
    x: usize,
    y: usize,
}

#[derive(Debug, Serialize)]
struct Cell {
    x: usize,
    y: usize,
    level: Level,
    /// For those who see no colours.
    mark: &'static str,
    mark_x: usize,
    mark_y: usize,
    title: String,
}

/// The picture. Of a sample the rows are masters, each cell with both directions.
pub(super) fn blocks(report: &Report) -> Vec<Block> {
    if report.ways.is_empty() {
        return Vec::new();
    }
    let ways: BTreeMap<(&str, &str), &Pair> =
        report.ways.iter().map(|way| ((way.from.as_str(), way.to.as_str()), way)).collect();
    let measured: BTreeSet<&str> = report.ways.iter().flat_map(|way| [way.from.as_str(), way.to.as_str()]).collect();
    let hosts: Vec<&str> =
        report.hosts.iter().map(|host| host.name.as_str()).filter(|name| measured.contains(name)).collect();
    let masters = report.hosts.iter().filter(|host| host.role == Role::Master).map(|host| host.name.as_str());
    let masters: BTreeSet<&str> = masters.collect();
    let rows: Vec<&str> = match report.sampled {
        true => hosts.iter().copied().filter(|name| masters.contains(name)).collect(),
        false => hosts.clone(),
    };
    let left = rows.iter().map(|name| name.chars().count()).max().unwrap_or(0) * LETTER + 8;
    hosts.chunks(COLUMNS).map(|columns| block(&rows, columns, left, &ways, report.sampled)).collect()
}

fn block(rows: &[&str], columns: &[&str], left: usize, ways: &BTreeMap<(&str, &str), &Pair>, both: bool) -> Block {
    let longest = columns.iter().map(|name| name.chars().count()).max().unwrap_or(0) * LETTER;
    // Labels lean by sixty degrees: so much of their length is height, and so much stands over on the right.
    let (top, over) = (longest * 9 / 10 + 12, longest / 2 + SIZE);
    let mut cells = Vec::new();
    for (line, from) in rows.iter().enumerate() {
        for (column, to) in columns.iter().enumerate().filter(|(_, to)| *to != from) {
            let back = ways.get(&(*to, *from)).filter(|_| both);
            let found: Vec<&Pair> = ways.get(&(*from, *to)).into_iter().chain(back).copied().collect();
            let level = found.iter().map(|way| way.level).max().unwrap_or(Level::Unknown);
            let (x, y) = (left + column * SIZE, top + line * SIZE);
            let mark = match level {
                Level::Broken => "x",
                Level::Warning => "!",
                _ => "",
            };
            let title = match found.is_empty() {
                true => format!("{from} to {to}: not measured"),
                false => found.iter().map(|way| words(way)).collect::<Vec<_>>().join("; "),
            };
            cells.push(Cell { x, y, level, mark, mark_x: x + SIZE / 2, mark_y: y + SIZE * 3 / 4, title });
        }
    }
    let column = |(index, name): (usize, &&str)| Label {
        name: name.to_string(),
        x: left + index * SIZE + SIZE * 3 / 4,
        y: top - 5,
    };
    let row = |(index, name): (usize, &&str)| Label {
        name: name.to_string(),
        x: left - 6,
        y: top + index * SIZE + SIZE * 3 / 4,
    };
    Block {
        width: left + columns.len() * SIZE + over,
        height: top + rows.len() * SIZE + 4,
        size: SIZE,
        columns: columns.iter().enumerate().map(column).collect(),
        rows: rows.iter().enumerate().map(row).collect(),
        cells,
    }
}

fn words(way: &Pair) -> String {
    let mut parts: Vec<String> = way.ports.iter().map(|(port, state)| format!("{port} {}", state.word())).collect();
    if way.no_route {
        parts.push("no route".to_string());
    }
    if let Some(mtu) = way.mtu {
        parts.push(mtu.path.map_or("no echo".to_string(), |path| format!("{path} of {} bytes", mtu.interface)));
    }
    parts.extend(way.round_trip.map(|time| format!("{}.{:02} ms", time / 1000, time % 1000 / 10)));
    format!("{} to {}: {}", way.from, way.to, parts.join(", "))
}
