//! Every way to write a key means the same key, and values keep their text.

use stream_conf::{Format, Value};

use crate::{flat, refused, text_as, yaml};

#[test]
fn every_layout_is_the_same_key() {
    let expected = ["kafka.source.kafka1.group.id = g", "kafka.source.topic = t"];
    for text in [
        "kafka.source:\n  topic: t\n  kafka1:\n    group.id: g\n",
        "kafka:\n  source:\n    topic: t\n    kafka1:\n      group:\n        id: g\n",
        "kafka.source.topic: t\nkafka.source.kafka1.group.id: g\n",
        "app:\n  kafka.source:\n    topic: t\n    kafka1.group.id: g\n",
        "app:\n  kafka:\n    source: {topic: t, kafka1: {group.id: g}}\n",
        "app.kafka.source.topic: t\nkafka.source.kafka1.group.id: g\n",
        "{\"kafka.source\": {\"topic\": \"t\", \"kafka1\": {\"group.id\": \"g\"}}}",
    ] {
        assert_eq!(flat(&yaml(text).unwrap()), expected, "{text}");
    }
    for text in [
        "[kafka.source]\ntopic = 't'\nkafka1.group.id = 'g'\n",
        "\"kafka.source.topic\" = 't'\n[kafka.source.kafka1]\n\"group.id\" = 'g'\n",
        "[app.\"kafka.source\"]\ntopic = 't'\n[app.kafka.source.kafka1.group]\nid = 'g'\n",
    ] {
        assert_eq!(flat(&text_as(Format::Toml, text).unwrap()), expected, "{text}");
    }
    let text = "kafka.source.topic=t\napp.kafka.source.kafka1.group.id : g\n";
    assert_eq!(flat(&text_as(Format::Properties, text).unwrap()), expected);
}

#[test]
fn keys_may_be_prefixes_of_each_other() {
    let configuration = yaml("kafka.sink:\n  partitioner: p\n  partitioner.class: c\n").unwrap();
    assert_eq!(flat(&configuration), ["kafka.sink.partitioner = p", "kafka.sink.partitioner.class = c"]);
}

#[test]
fn scalars_keep_their_text() {
    for text in [
        "007",
        "on",
        "off",
        "yes",
        "1e3",
        "0:182,1:183,2:182",
        "0x1F",
        "1_000",
        "true",
        "True",
        "1.10",
        "+5",
        ".5",
        "2001-12-14",
        "a b  c",
        "topic1,topic2,topic3...",
        "^topic[1-9]",
        "12:30:45",
        "-1",
        "a#b",
        "nullable",
    ] {
        let configuration = yaml(&format!("a:\n  k: {text}   # comment\n")).unwrap();
        assert_eq!(configuration.get("a.k").unwrap().text(), text);
        let configuration = text_as(Format::Properties, &format!("a.k = {text}")).unwrap();
        assert_eq!(configuration.get("a.k").unwrap().text(), text);
    }
}

#[test]
fn absent_and_empty_are_different() {
    let configuration =
        yaml("a:\nb: ~\nc: null\nd: ''\ne: \"\"\nf: 'null'\ng: []\nh: {}\ni: !!str\nj: [~, x]\n").unwrap();
    assert_eq!(flat(&configuration), ["d = ", "e = ", "f = null", "g = ", "i = ", "j = x"]);
    assert_eq!(configuration.get("g").unwrap().value(), &Value::List(vec![]));
    assert_eq!(flat(&text_as(Format::Properties, "a=\nb\nc=x\n").unwrap()), ["c = x"]);
    assert_eq!(flat(&text_as(Format::Toml, "a = ''\n").unwrap()), ["a = "]);
    assert!(flat(&yaml("").unwrap()).is_empty());
    assert!(flat(&yaml("# nothing\n---\n").unwrap()).is_empty());
}

#[test]
fn lists_are_lists_and_texts_are_texts() {
    for text in ["t: [a, 007, 'b,c']\n", "t:\n  - a\n  - 007\n  - b,c\n"] {
        let configuration = yaml(text).unwrap();
        let entry = configuration.get("t").unwrap();
        assert_eq!(entry.value(), &Value::List(vec!["a".into(), "007".into(), "b,c".into()]));
        assert_eq!(entry.text(), "a,007,b,c");
        assert_eq!(entry.value().items(), ["a", "007", "b,c"]);
    }
    let configuration = yaml("t: a, b ,,c\n").unwrap();
    assert_eq!(configuration.get("t").unwrap().value().items(), ["a", "b", "c"]);
}

#[test]
fn yaml_scalars_of_every_style() {
    let configuration = yaml(
        "plain: a b\n  c\nsingle: 'it''s'\ndouble: \"a\\tb\\u0041\"\nliteral: |\n  one\n   two\nfolded: >-\n  one\n  two\n",
    )
    .unwrap();
    let text = |key: &str| configuration.get(key).unwrap().text().to_owned();
    assert_eq!(text("plain"), "a b c");
    assert_eq!(text("single"), "it's");
    assert_eq!(text("double"), "a\tbA");
    assert_eq!(text("literal"), "one\n two\n");
    assert_eq!(text("folded"), "one two");
}

#[test]
fn anchors_and_merges() {
    let configuration =
        yaml("x: &base {a: 1, b: 2}\ny:\n  <<: *base\n  b: 3\nz:\n  <<: [{a: 9}, *base]\nv: &v text\nw: *v\n").unwrap();
    assert_eq!(
        flat(&configuration),
        ["v = text", "w = text", "x.a = 1", "x.b = 2", "y.a = 1", "y.b = 3", "z.a = 9", "z.b = 2"]
    );
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
    let lines = ('b'..='i').map(|name| {
        let previous = char::from(name as u8 - 1);
        format!(
            "{name}: &{name} {{{}}}\n",
            (0..10).map(|at| format!("k{at}: *{previous}")).collect::<Vec<_>>().join(",")
        )
    });
    let report = refused(Format::Yaml, &(bomb.to_owned() + &lines.collect::<String>()));
    assert!(report.contains("more than 100000 values"), "{report}");
}

#[test]
fn toml_scalars() {
    let configuration = text_as(
        Format::Toml,
        "i = 1_000\nh = 0xff\nf = 1_0.5e3\nb = true\nd = 1979-05-27T07:32:00Z\ns = \"\"\"\na\nb\"\"\"\nl = [1, 'x']\nneg = -5\n",
    )
    .unwrap();
    assert_eq!(
        flat(&configuration),
        [
            "b = true",
            "d = 1979-05-27T07:32:00Z",
            "f = 10.5e3",
            "h = 255",
            "i = 1000",
            "l = 1,x",
            "neg = -5",
            "s = a\nb"
        ]
    );
}

#[test]
fn properties_as_java_reads_them() {
    let configuration = text_as(
        Format::Properties,
        "# comment\n! comment\n\n  a = 1\nb:2\nc 3\nd=one\\\n   two\\\\\ne=\\u00e4\\t\\ud83d\\ude00\nf\\ g\\=h = x  \ni==\nj=a b\nk=C:\\\\dir\nl=x\\ \n",
    )
    .unwrap();
    assert_eq!(
        flat(&configuration),
        [
            "a = 1",
            "b = 2",
            "c = 3",
            "d = onetwo\\",
            "e = ä\t😀",
            "f g=h = x",
            "i = =",
            "j = a b",
            "k = C:\\dir",
            "l = x "
        ]
    );
}

#[test]
fn places_point_at_values() {
    let place = |format, text: &str, key: &str| text_as(format, text).unwrap().get(key).unwrap().origin().to_string();
    let text = "kafka.source:\n  topic:   t\n  list: [a]\n  pem: |\n    x\n  'quoted': 'q'\nä: ü\n";
    for (key, expected) in [
        ("kafka.source.topic", "application.yml:2:12"),
        ("kafka.source.list", "application.yml:3:9"),
        ("kafka.source.pem", "application.yml:5:5"),
        ("kafka.source.quoted", "application.yml:6:13"),
        ("ä", "application.yml:7:4"),
    ] {
        assert_eq!(place(Format::Yaml, text, key), expected);
        assert_eq!(place(Format::Yaml, &text.replace('\n', "\r\n"), key), expected);
        assert_eq!(place(Format::Yaml, &format!("\u{feff}{text}"), key), expected);
    }
    assert_eq!(place(Format::Toml, "# ä\n[a]\n'ü' = 5\n", "a.ü"), "application.toml:3:7");
    assert_eq!(place(Format::Properties, "# c\n a  =  x\n", "a"), "application.properties:2:8");
    assert_eq!(place(Format::Properties, "a = \\\n   x\n", "a"), "application.properties:2:4");
}

#[test]
fn the_samples_of_streampark() {
    let configuration = yaml(
        "\
kafka.source:
  bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
  topic: topic1,topic2,topic3...
  group.id: user_01
  auto.offset.reset: earliest # (earliest | latest)
  start.from:
    timestamp: 1591286400000 # Specify timestamp to take effect for all topics
    offset: # Specify an offset for the topic's partition
      topic: topic_abc,topic_123
      topic_abc: 0:182,1:183,2:182 # Partition 0 starts consumption from 182
      topic_123: 0:182,1:183,2:182
kafka.sink:
    kafka_cluster1:
        semantic: AT_LEAST_ONCE # EXACTLY_ONCE|AT_LEAST_ONCE|NONE
        batch.size: 1
",
    )
    .unwrap();
    assert_eq!(
        flat(&configuration),
        [
            "kafka.sink.kafka_cluster1.batch.size = 1",
            "kafka.sink.kafka_cluster1.semantic = AT_LEAST_ONCE",
            "kafka.source.auto.offset.reset = earliest",
            "kafka.source.bootstrap.servers = kfk1:9092,kfk2:9092,kfk3:9092",
            "kafka.source.group.id = user_01",
            "kafka.source.start.from.offset.topic = topic_abc,topic_123",
            "kafka.source.start.from.offset.topic_123 = 0:182,1:183,2:182",
            "kafka.source.start.from.offset.topic_abc = 0:182,1:183,2:182",
            "kafka.source.start.from.timestamp = 1591286400000",
            "kafka.source.topic = topic1,topic2,topic3...",
        ]
    );
}
