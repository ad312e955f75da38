//! Tests of the layouts, on rows of the real file and on rows broken by hand.

use std::io::Write;

use super::*;
use crate::tick::{Kind, MarketTime};

/// Symbols and days in the file that comes with the program.
const DAYS: usize = 12_154;
const DAILY_HEAD: &str = "date,symbol,open,high,low,close,volume\n";

fn read(text: &str, options: &Options) -> (Vec<Tick>, u64, Option<String>) {
    read_bytes(text.as_bytes().to_vec(), options)
}

fn read_bytes(bytes: Vec<u8>, options: &Options) -> (Vec<Tick>, u64, Option<String>) {
    let mut source = match Source::new("stocks.csv", io::Cursor::new(bytes), options) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), 0, Some(error.to_string())),
    };
    let mut ticks = Vec::new();
    loop {
        match source.next_tick() {
            Ok(Some(tick)) => ticks.push(tick),
            Ok(None) => return (ticks, source.skipped(), None),
            Err(error) => return (ticks, source.skipped(), Some(error.to_string())),
        }
    }
}

fn told(ticks: &[Tick]) -> Vec<String> {
    let name = |tick: &Tick| Kind::try_from(tick.kind).unwrap().name();
    ticks
        .iter()
        .map(|tick| format!("{} {} {} {}", tick.time(), tick.symbol, name(tick), tick.price))
        .collect()
}

fn named(time: &str, key: &str, value: &str) -> Options {
    let columns = Columns {
        time: time.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    Options {
        columns: Some(columns),
        skip_bad: false,
    }
}

#[test]
fn all_days_of_the_real_file_give_three_ticks_each() {
    let mut source = Source::built_in().unwrap();
    let mut counts = [0_usize; 8];
    let mut last = None;
    let mut total = 0;
    while let Some(tick) = source.next_tick().unwrap() {
        let reading = tick.read().unwrap_or_else(|error| panic!("{tick:?}: {error}"));
        assert!(last <= Some(reading.time), "days go forward");
        last = Some(reading.time);
        counts[tick.kind as usize] += 1;
        total += 1;
    }
    assert_eq!(total, DAYS * 3);
    assert_eq!(counts[Kind::Open as usize], DAYS);
    assert_eq!(counts[Kind::Close as usize], DAYS);
    assert_eq!(counts[Kind::High as usize] + counts[Kind::Low as usize], DAYS);
    assert!(
        counts[Kind::Low as usize] > 1_000 && counts[Kind::High as usize] > 1_000,
        "{counts:?}"
    );
}

#[test]
fn every_price_told_stands_in_the_file() {
    let text = std::str::from_utf8(STOCKS).unwrap();
    let mut rows = std::collections::HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        rows.insert((fields[0].to_owned(), fields[1].to_owned()), fields[2..6].to_vec());
    }
    assert_eq!(rows.len(), DAYS);
    let mut source = Source::built_in().unwrap();
    while let Some(tick) = source.next_tick().unwrap() {
        let row = &rows[&(tick.time().to_string(), tick.symbol.clone())];
        let column = match Kind::try_from(tick.kind).unwrap() {
            Kind::Open => 0,
            Kind::High => 1,
            Kind::Low => 2,
            Kind::Close => 3,
            other => panic!("{other:?}"),
        };
        assert_eq!(tick.price, row[column], "{tick:?}");
    }
}

#[test]
fn a_day_is_told_in_the_markets_order() {
    let rows = "2000-03-01,AAPL,118.56,132.06,118.5,130.31,9616100\n2000-03-01,IBM,102,105.5,100.06,100.25,10807800\n\
                2000-03-02,AAPL,127,127.94,120.69,122,2779100\n";
    let (ticks, skipped, error) = read(&format!("{DAILY_HEAD}{rows}"), &Options::default());
    assert_eq!((skipped, error), (0, None));
    let expected = [
        "2000-03-01 AAPL open 118.56",
        "2000-03-01 IBM open 102",
        "2000-03-01 AAPL high 132.06",
        "2000-03-01 IBM high 105.5",
        "2000-03-01 AAPL close 130.31",
        "2000-03-01 IBM close 100.25",
        "2000-03-02 AAPL open 127",
        "2000-03-02 AAPL low 120.69",
        "2000-03-02 AAPL close 122",
    ];
    assert_eq!(told(&ticks), expected);
}

#[test]
fn a_bad_row_stops_with_file_and_line_or_is_counted() {
    let good = "2000-03-01,AAPL,118.56,132.06,118.5,130.31,9616100\n";
    let cases = [
        (
            "2000-03-02,IBM,100.5,105.44,99.5,abc,1",
            "stocks.csv:17: close is not a number: \"abc\"",
        ),
        (
            "2000-03-02,IBM,NaN,105.44,99.5,1,1",
            "stocks.csv:17: open is not a number: \"NaN\"",
        ),
        (
            "2000-03-02,IBM,100.5,inf,99.5,1,1",
            "stocks.csv:17: high is not a number: \"inf\"",
        ),
        ("2000-03-02,IBM,100.5,105.44,,1,1", "stocks.csv:17: low is empty"),
        (
            "2000-03-02,IBM,100.5,99,99.5,1,1",
            "stocks.csv:17: high 99 is below low 99.5",
        ),
        (
            "2000-02-30,IBM,1,1,1,1,1",
            "stocks.csv:17: date is not a date or time: \"2000-02-30\"",
        ),
        ("2000-03-02,,1,1,1,1,1", "stocks.csv:17: symbol is empty"),
        (
            "2000-03-02,IBM,1,1,1,1",
            "stocks.csv:17: 6 fields, but the header has 7",
        ),
        (
            "2000-03-02,\"IBM,1,1,1,1,1",
            "stocks.csv:17: a quotation mark is not closed on its line",
        ),
        ("garbage", "stocks.csv:17: 1 fields, but the header has 7"),
    ];
    for (bad, expected) in cases {
        let text = format!("{DAILY_HEAD}{}{bad}\n{good}", good.repeat(15));
        let (_, skipped, error) = read(&text, &Options::default());
        assert_eq!((skipped, error.as_deref()), (0, Some(expected)));
        let (ticks, skipped, error) = read(
            &text,
            &Options {
                skip_bad: true,
                columns: None,
            },
        );
        assert_eq!((ticks.len(), skipped, error), (16 * 3, 1, None), "{bad}");
    }
    let mut bytes = DAILY_HEAD.as_bytes().to_vec();
    bytes.extend_from_slice(b"\xff\xfe\n");
    bytes.extend(std::iter::repeat_n(b'9', LINE_BYTES_MAX + 1));
    bytes.push(b'\n');
    bytes.extend_from_slice(good.as_bytes());
    assert_eq!(
        read_bytes(bytes.clone(), &Options::default()).2.unwrap(),
        "stocks.csv:2: not UTF-8 text"
    );
    let (ticks, skipped, error) = read_bytes(
        bytes,
        &Options {
            skip_bad: true,
            columns: None,
        },
    );
    assert_eq!((ticks.len(), skipped, error), (3, 2, None));
}

#[test]
fn rows_before_a_bad_one_are_read_of_whole_days_only() {
    // The day of the bad row is not complete, and a partial day would look like a whole one.
    let text = format!("{DAILY_HEAD}2000-03-01,AAPL,1,2,1,2,5\n2000-03-02,AAPL,1,2,1,2,5\n2000-03-02,IBM,x,2,1,2,5\n");
    let (ticks, _, error) = read(&text, &Options::default());
    assert_eq!(ticks.len(), 3);
    assert_eq!(error.unwrap(), "stocks.csv:4: open is not a number: \"x\"");
}

#[test]
fn quotes_and_trades_keep_every_digit() {
    let text = "ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size\n\
                1723161600001692584,BTCUSDT,quote,61685.99,1.25869,61686,2.44816,,\n\
                1723161600164378285,BTCUSDT,trade,,,,,61685.99,0.00017\n\
                1723161600164378286,ETHUSDT,quote,2682.50,2.5458,,,,\n";
    let (ticks, _, error) = read(text, &Options::default());
    assert_eq!(error, None);
    assert_eq!(ticks.len(), 3);
    assert_eq!(ticks[0].bid.as_deref(), Some("61685.99"));
    assert_eq!(ticks[0].ask_size.as_deref(), Some("2.44816"));
    assert_eq!(ticks[0].time(), MarketTime::Moment(1_723_161_600_001_692_584));
    assert_eq!(
        (ticks[1].price.as_str(), ticks[1].size.as_deref()),
        ("61685.99", Some("0.00017"))
    );
    assert_eq!(
        (ticks[2].bid.as_deref(), ticks[2].ask.as_deref()),
        (Some("2682.50"), None)
    );
    let head = "ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size\n";
    for (row, what) in [
        ("soon,BTC,trade,,,,,1,1", "ts_ns is not a time in nanoseconds: \"soon\""),
        ("1,BTC,bid,,,,,1,1", "kind is neither quote nor trade: \"bid\""),
        ("1,BTC,trade,1,1,1,1,,", "price is empty"),
        ("1,BTC,quote,,,,,1,1", "a quote with neither bid nor ask"),
        ("1,BTC,quote,1,many,,,,", "bid_size is not a number: \"many\""),
    ] {
        assert_eq!(
            read(&format!("{head}{row}\n"), &Options::default()).2.unwrap(),
            format!("stocks.csv:2: {what}")
        );
    }
}

#[test]
fn any_csv_works_by_the_names_of_its_columns() {
    let weather = "station;x,when,temp\n\"Oslo, Blindern\",2024-01-05T06:00:00Z,-23.10\n";
    let (ticks, _, error) = read(weather, &named("when", "station;x", "temp"));
    assert_eq!(error, None);
    assert_eq!(told(&ticks), ["2024-01-05T06:00:00Z Oslo, Blindern value -23.10"]);
    let scores = "minute_utc,team,goals\n1720983600,Spain,1\n1720987260,England,1\n";
    assert_eq!(read(scores, &named("minute_utc", "team", "goals")).0.len(), 2);
    let error = read(scores, &named("minute_utc", "team", "points")).2.unwrap();
    assert_eq!(
        error,
        "stocks.csv:1: no column \"points\"; there are: minute_utc, team, goals"
    );
    let error = read(scores, &Options::default()).2.unwrap();
    assert!(
        error.starts_with("stocks.csv:1: neither the daily nor the quote/trade layout: name its columns"),
        "{error}"
    );
}

#[test]
fn json_lines_work_by_member_or_pointer_and_numbers_stay_text() {
    let text = "{\"t\":1723161600001,\"s\":\"BTC\",\"p\":61685.990000000000001,\"m\":{\"v\":\"7.50\"}}\n\n\
                {\"t\":\"2024-08-09\",\"s\":\"caf\\u00e9\",\"p\":1e-7,\"m\":{\"v\":2}}\n";
    let (ticks, _, error) = read(text, &named("t", "s", "p"));
    assert_eq!(error, None);
    assert_eq!(
        told(&ticks),
        [
            "2024-08-09T00:00:00.001Z BTC value 61685.990000000000001",
            "2024-08-09 café value 1e-7"
        ]
    );
    let (ticks, _, error) = read(text, &named("t", "s", "/m/v"));
    assert_eq!(error, None);
    assert_eq!((ticks[0].price.as_str(), ticks[1].price.as_str()), ("7.50", "2"));
    for (line, what) in [
        ("{\"t\":1,\"s\":\"x\"}", "no member \"p\""),
        (
            "{\"t\":1,\"s\":\"x\",\"p\":null}",
            "p is neither a number nor text: \"null\"",
        ),
        ("{\"t\":1,\"s\":\"x\",\"p\":\"much\"}", "p is not a number: \"much\""),
        (
            "{\"t\":1,\"s\":",
            "not a JSON object: EOF while parsing a value at column 11",
        ),
    ] {
        let text = format!("{{\"t\":1,\"s\":\"x\",\"p\":1}}\n{line}\n");
        assert_eq!(
            read(&text, &named("t", "s", "p")).2.unwrap(),
            format!("stocks.csv:2: {what}")
        );
        let skipping = Options {
            skip_bad: true,
            ..named("t", "s", "p")
        };
        assert_eq!(
            read(&format!("{line}\n{text}"), &skipping).1,
            2,
            "a bad first line is a bad row too"
        );
    }
    assert!(
        read("{}", &Options::default())
            .2
            .unwrap()
            .contains("--time, --key and --value")
    );
    assert!(
        read("[1]", &named("t", "s", "p"))
            .2
            .unwrap()
            .contains("one object a line")
    );
}

#[test]
fn hostile_json_neither_overflows_the_stack_nor_passes() {
    let deep = format!("{{\"t\":1,\"s\":\"x\",\"p\":{}}}\n", "[".repeat(LINE_BYTES_MAX - 100));
    assert!(read(&deep, &named("t", "s", "p")).2.is_some());
}

#[test]
fn empty_and_missing_input_is_an_error() {
    assert_eq!(
        read("", &Options::default()).2.unwrap(),
        "stocks.csv:1: no header: the input is empty"
    );
    assert_eq!(
        read("\n\n", &Options::default()).2.unwrap(),
        "stocks.csv:2: no header: the input is empty"
    );
    assert_eq!(read(DAILY_HEAD, &Options::default()).0.len(), 0);
    let missing = Source::open("no/such/file.csv", &Options::default())
        .err()
        .unwrap()
        .to_string();
    assert!(missing.starts_with("no/such/file.csv: "), "{missing}");
}

#[test]
fn gzip_reads_as_plain() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(STOCKS).unwrap();
    let mut bytes = encoder.finish().unwrap();
    let (ticks, _, error) = read_bytes(bytes.clone(), &Options::default());
    assert_eq!((ticks.len(), error), (DAYS * 3, None));
    bytes.truncate(bytes.len() / 2);
    // A damaged archive is never "skipped": what follows is lost, not bad.
    let (_, skipped, error) = read_bytes(
        bytes,
        &Options {
            skip_bad: true,
            columns: None,
        },
    );
    assert_eq!(skipped, 0);
    assert!(error.unwrap().starts_with("stocks.csv: "));
}

#[test]
fn the_recorded_feed_parses_whole() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/ticks.csv.gz");
    if !std::path::Path::new(file).exists() {
        eprintln!("SKIPPED: the recorded feed is not here: {file}");
        return;
    }
    let mut source = Source::open(file, &Options::default()).unwrap();
    let (mut quotes, mut trades, mut last) = (0, 0, i64::MIN);
    while let Some(tick) = source.next_tick().unwrap() {
        assert!(tick.read().is_ok() && tick.time_ns >= last);
        last = tick.time_ns;
        if tick.kind == Kind::Quote as i32 {
            quotes += 1
        } else {
            trades += 1
        }
    }
    assert_eq!(quotes + trades, 98_371);
    assert!(quotes > trades && trades > 0);
}

#[tokio::test]
async fn a_supply_ends_with_its_count() {
    let text = format!("{DAILY_HEAD}2000-03-01,AAPL,1,2,1,2,5\nbad\n");
    let options = Options {
        skip_bad: true,
        columns: None,
    };
    let mut receiver = supply(move || Source::new("x", io::Cursor::new(text.into_bytes()), &options));
    let mut ticks = 0;
    loop {
        match receiver.recv().await.unwrap() {
            Supply::Tick(_) => ticks += 1,
            Supply::End { skipped } => {
                assert_eq!((ticks, skipped), (3, 1));
                break;
            }
            Supply::Failed(error) => panic!("{error}"),
        }
    }
    assert!(receiver.recv().await.is_none());
}
