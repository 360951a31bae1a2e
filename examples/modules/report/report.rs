//! A shift report: reads `name value` lines and prints one line of JSON about them.
//!
//! Readings come as `name=value` arguments and, after them, as `name value` lines on standard
//! input; values are integers. `PLANT` in the environment names the plant.
//!
//! Exit: 0, or 2 when a reading can't be understood.

use std::io::BufRead;

struct Reading {
    name: String,
    value: i64,
}

fn parse(text: &str, between: char) -> Result<Reading, String> {
    let wrong = || format!("report: cannot understand the reading \"{text}\"");
    let (name, value) = text.split_once(between).ok_or_else(wrong)?;
    Ok(Reading {
        name: name.trim().to_owned(),
        value: value.trim().parse().map_err(|_| wrong())?,
    })
}

fn readings() -> Result<Vec<Reading>, String> {
    let mut all = Vec::new();
    for argument in std::env::args().skip(1) {
        all.push(parse(&argument, '=')?);
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("report: standard input: {error}"))?;
        if !line.trim().is_empty() {
            all.push(parse(line.trim(), ' ')?);
        }
    }
    Ok(all)
}

/// Text as a JSON string: quotes, backslashes and control characters escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn summary(plant: &str, all: &[Reading]) -> String {
    let worst = all.iter().max_by_key(|reading| reading.value);
    let sum: i64 = all.iter().map(|reading| reading.value).sum();
    let mut out = format!("{{\"plant\":{},\"readings\":{}", quoted(plant), all.len());
    if let Some(worst) = worst {
        let mean = sum / all.len() as i64;
        out.push_str(&format!(",\"mean\":{mean},\"highest\":{}", worst.value));
        out.push_str(&format!(",\"at\":{}", quoted(&worst.name)));
    }
    out.push('}');
    out
}

fn main() {
    let plant = std::env::var("PLANT").unwrap_or_else(|_| String::from("unnamed"));
    match readings() {
        Ok(all) => println!("{}", summary(&plant, &all)),
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    }
}
