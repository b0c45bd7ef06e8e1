//! CSV: columns, quotes, and another implementation that agrees.

use proptest::prelude::*;
use stream_kafka::KafkaSchema;
use stream_kafka::testing::RecordBuilder;

use crate::{read, refused, round_trip, value_of};

pub(crate) fn forty_two() -> u8 {
    42
}

#[derive(KafkaSchema, Debug, PartialEq, Clone)]
#[kafka(format = "csv", rename_all = "kebab-case")]
pub(crate) struct Reading {
    sensor_name: String,
    value: f64,
    unit: Option<String>,
    #[kafka(default = "forty_two")]
    quality: u8,
    ok: Option<bool>,
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(format = "csv", delimiter = "\t")]
struct Tabs(u8, #[kafka(key)] String, char);

#[test]
fn csv_has_its_columns_in_the_order_of_the_fields() {
    let reading = read::<Reading>("\"a \"\"b\"\", c\",1.5,,,true\r\n");
    let expected = Reading { sensor_name: "a \"b\", c".into(), value: 1.5, unit: None, quality: 42, ok: Some(true) };
    assert_eq!(reading, expected);
    assert_eq!(value_of(&reading), "\"a \"\"b\"\", c\",1.5,,42,true");
    assert_eq!(read::<Reading>("a,1").ok, None);
    assert_eq!(read::<Reading>("a,1,\"\"").unit.as_deref(), Some(""));
    let tabs = Tabs(7, "k".into(), ',');
    assert_eq!(value_of(&tabs), "7\t,");
    round_trip(&tabs);
    for (line, reason) in [
        ("a", "column 2 `value` is missing: the line has 1 columns"),
        ("a,b", "column 2 `value`: can't read `b`: invalid float literal"),
        ("a,1,,300", "column 4 `quality`: can't read `300`: number too large to fit in target type"),
        ("a,1,,,,x", "the line has more than 5 columns"),
        ("\"a,1", "column 1 `sensor-name` has no closing quote"),
        ("\"a\"b,1", "column 1 `sensor-name` is followed by text after its closing quote"),
        (
            "a,1\nb,2",
            "column 2 `value` is followed by a second line; a record is one line, and line breaks stand in quotes",
        ),
    ] {
        assert_eq!(refused::<Reading>(line), reason, "{line}");
    }
    assert_eq!(refused::<Tabs>("x\ty"), "column 1: can't read `x`: invalid digit found in string");
}

proptest! {
    #[test]
    fn csv_reads_what_it_writes(
        // The other reader takes a byte order mark at the beginning for one of a file.
        sensor_name in "([a,\"\r\n \u{e4};]|.){0,8}".prop_filter("no mark", |name| !name.starts_with('\u{feff}')),
        value in any::<f64>().prop_filter("NaN equals nothing", |value| !value.is_nan()),
        unit in proptest::option::of("[a,\"\r\n]{0,3}"),
        quality in any::<u8>(),
        ok in any::<Option<bool>>(),
    ) {
        let reading = Reading { sensor_name, value, unit, quality, ok };
        round_trip(&reading);
        // A reader that was not written here understands it too.
        let line = value_of(&reading);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let row = reader.records().next().expect("a row").expect("is CSV");
        prop_assert_eq!(row.len(), 5);
        prop_assert_eq!(&row[0], reading.sensor_name);
        prop_assert_eq!(&row[2], reading.unit.unwrap_or_default());
    }

    #[test]
    fn csv_reads_what_another_writer_writes(
        sensor_name in "([a,\"\r\n \u{e4};]|.){0,8}",
        unit in "[a,\"\r\n]{0,3}",
    ) {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record([&sensor_name, "1", &unit, "2", "false"]).expect("writes");
        let line = String::from_utf8(writer.into_inner().expect("flushes")).expect("UTF-8");
        let reading = read::<Reading>(&line);
        prop_assert_eq!(&reading.sensor_name, &sensor_name);
        prop_assert_eq!(reading.unit.unwrap_or_default(), unit);
    }

    #[test]
    fn no_input_makes_csv_panic(line in "[a\",\r\n1\u{e4}]{0,12}", bytes in any::<Vec<u8>>()) {
        let _ = RecordBuilder::new().value(&line).decode::<Reading>();
        let _ = RecordBuilder::new().value(&bytes).decode::<Reading>();
    }
}
