//! Draws the README's figure from what `latency` has measured.
//!
//! ```text
//! BENCH_JSON=docs/performance cargo bench --bench latency      # measures
//! cargo bench --bench plot                                     # draws docs/performance/latency.svg
//! cargo bench --bench plot -- --input FILE --output FILE
//! ```
//!
//! The figure has no background, and its ink is the reader's: black on a light page, white on a dark one.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::prelude::*;
use serde::Deserialize;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance/latency.json"))]
    input: PathBuf,
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance/latency.svg"))]
    output: PathBuf,
    /// Given by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Deserialize)]
struct Measured {
    rows: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    name: String,
    writers: f64,
    #[serde(rename = "appends/s")]
    rate: f64,
    #[serde(rename = "p50 us")]
    p50: f64,
    #[serde(rename = "p99 us")]
    p99: f64,
}

/// A line: rows of this name, what the figure calls them, and their colour, which both pages bear.
const LINES: [(&str, &str, RGBColor); 4] = [
    (
        "limit",
        "one write and sync at a time, no log",
        RGBColor(140, 149, 159),
    ),
    ("adaptive/ENGINE", "groupwal", RGBColor(45, 164, 78)),
    (
        "article, write group",
        "write group with a timer",
        RGBColor(208, 120, 20),
    ),
    (
        "article, sync-on-write",
        "one sync an entry",
        RGBColor(218, 70, 80),
    ),
];
/// Stands for the reader's ink until the figure is written.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_IN_SVG: &str = "#010203";
const STYLE: &str = "<style>svg{color:#1f2328;font-family:system-ui,sans-serif}\
    @media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>";
const TENS: [f64; 6] = [1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
const SIZE: (u32, u32) = (960, 400);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        return Ok(());
    }
    let text = std::fs::read_to_string(&arguments.input)
        .map_err(|error| format!("{}: {error}", arguments.input.display()))?;
    let measured: Measured = serde_json::from_str(&text)?;
    let svg = draw(&measured)?;
    std::fs::write(&arguments.output, svg)?;
    println!("{}", arguments.output.display());
    Ok(())
}

/// The fastest engine at the most writers: what `auto` should be.
fn best_engine(measured: &Measured) -> Option<&str> {
    let steady = |point: &&Point| point.name.starts_with("adaptive/") && !point.name.contains(',');
    let rows = measured.rows.iter().filter(steady);
    let best = rows.max_by(|a, b| {
        (a.writers, a.rate)
            .partial_cmp(&(b.writers, b.rate))
            .expect("numbers")
    });
    best.map(|point| point.name.as_str())
}

fn draw(measured: &Measured) -> Result<String, Box<dyn Error>> {
    let best = best_engine(measured).ok_or("no row is called adaptive/ENGINE")?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        let title = "Durable appends a second";
        panel(&left, title, 50.0..2e6, measured, best, true, |point| {
            (point.rate, None)
        })?;
        let title = "Latency: p50, and p99 dotted";
        panel(&right, title, 50.0..4e5, measured, best, false, |point| {
            (point.p50, Some(point.p99))
        })?;
        root.present()?;
    }
    let svg = svg.replace(INK_IN_SVG, "currentColor");
    let head = svg.find('>').ok_or("no SVG was drawn")? + 1;
    Ok(format!(
        "{}{STYLE}{}\n",
        &svg[..head],
        &svg[head..].trim_end()
    ))
}

fn panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    title: &str,
    range: std::ops::Range<f64>,
    measured: &Measured,
    best: &str,
    has_legend: bool,
    figures: impl Fn(&Point) -> (f64, Option<f64>),
) -> Result<(), Box<dyn Error>>
where
    DB::ErrorType: 'static,
{
    let mut writers: Vec<f64> = measured.rows.iter().map(|point| point.writers).collect();
    writers.sort_by(f64::total_cmp);
    writers.dedup();
    let text = |size: u32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .caption(title, text(17))
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (0.9..600.0).log_scale().with_key_points(writers),
            range.log_scale().with_key_points(TENS.to_vec()),
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(INK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.5))
        .label_style(text(13))
        .x_desc("concurrent writers")
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| if has_legend { count(*y) } else { duration(*y) })
        .draw()?;
    for (name, label, colour) in LINES {
        let name = if name == "adaptive/ENGINE" {
            best
        } else {
            name
        };
        let mut points: Vec<&Point> = measured
            .rows
            .iter()
            .filter(|point| point.name == name)
            .collect();
        points.sort_by(|a, b| a.writers.total_cmp(&b.writers));
        let line = |second: bool| {
            let figure = |point: &&Point| {
                let (first, other) = figures(point);
                let figure = if second { other } else { Some(first) };
                figure.map(|figure| (point.writers, figure))
            };
            points.iter().filter_map(figure).collect::<Vec<_>>()
        };
        let series = LineSeries::new(line(false), colour.stroke_width(3)).point_size(3);
        let series = chart.draw_series(series)?;
        if has_legend {
            series.label(label).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3))
            });
        }
        for (x, y) in line(true) {
            chart.draw_series([Circle::new((x, y), 3, colour.stroke_width(1))])?;
        }
        let dashes = DashedLineSeries::new(line(true), 2, 4, colour.stroke_width(1));
        chart.draw_series(dashes)?;
    }
    if has_legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(text(13))
            .draw()?;
    }
    Ok(())
}

fn count(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{} M", number / 1e6),
        number if number >= 1e3 => format!("{} k", number / 1e3),
        number => number.to_string(),
    }
}

fn duration(micros: f64) -> String {
    if micros >= 1e3 {
        format!("{} ms", micros / 1e3)
    } else {
        format!("{micros} us")
    }
}
