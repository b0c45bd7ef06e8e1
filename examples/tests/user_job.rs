//! The job of `user_csv` as a user tests it: its logic without a broker, and the same function on a real one.

use stream_core::{Configuration, DataStream, Result, StreamingContext};
use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource};
use stream_testkit::{KafkaFixture, TestDriver};

#[derive(KafkaSchema)]
struct User {
    name: String,
    age: u32,
    gender: u8,
    address: String,
}

fn to_csv(users: DataStream<User>) -> DataStream<String> {
    users.map(|user| format!("{},{},{},{}", user.name, user.age, user.gender, user.address))
}

#[test]
fn users_become_lines() -> Result<()> {
    let mut driver = TestDriver::new();
    let (users, lines) = driver.job(to_csv);
    users.push(User { name: "ada".into(), age: 36, gender: 2, address: "london".into() });
    driver.run_until_idle()?;
    assert_eq!(lines.take(), ["ada,36,2,london"]);
    driver.finish()?;
    assert!(lines.is_empty());
    Ok(())
}

#[test]
fn users_become_lines_on_a_real_kafka() -> Result<()> {
    let kafka = KafkaFixture::new("user-job");
    let (source, sink) = (kafka.topic("users", 2), kafka.topic("csv", 2));
    kafka.fill(&source, 10, |i, out| {
        out.set_value(format!(r#"{{"name":"u{i}","age":{i},"gender":1,"address":"x"}}"#));
    });
    let configuration = Configuration::builder()
        .set("kafka.source.bootstrap.servers", kafka.bootstrap())
        .set("kafka.source.auto.offset.reset", "earliest")
        .set("kafka.sink.bootstrap.servers", kafka.bootstrap())
        .build()?;
    let ctx = StreamingContext::new(configuration);
    let users = KafkaSource::<User>::new(&ctx).topic(&source).bounded().values();
    KafkaSink::new(&ctx).topic(&sink).sink(to_csv(users));
    ctx.execute("users to csv")?;
    let mut lines: Vec<String> = kafka.read(&sink).into_iter().map(|record| record.value).collect();
    lines.sort();
    assert_eq!(lines, (0..10).map(|i| format!("u{i},{i},1,x")).collect::<Vec<_>>());
    Ok(())
}
