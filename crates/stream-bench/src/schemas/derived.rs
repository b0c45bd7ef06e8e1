//! The types with their derive, and nothing else.

use stream_kafka::KafkaSchema;

use super::Checksum;

#[derive(KafkaSchema, Debug)]
#[kafka(rename_all = "camelCase")]
pub(super) struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: String,
    url: String,
    date_time: u64,
}

#[derive(KafkaSchema, Debug)]
#[kafka(format = "csv")]
pub(super) struct User {
    id: u64,
    name: String,
    age: u8,
    gender: u8,
    score: Option<f64>,
    address: Option<String>,
}

impl Checksum for Bid {
    fn checksum(&self) -> u64 {
        let numbers = self.auction ^ self.bidder ^ self.price ^ self.date_time;
        numbers.wrapping_add((self.channel.len() + self.url.len()) as u64)
    }
}

impl Checksum for User {
    fn checksum(&self) -> u64 {
        let numbers = self.id ^ u64::from(self.age) ^ u64::from(self.gender) ^ self.score.unwrap_or(0.5).to_bits();
        let texts = self.name.len() + self.address.as_ref().map_or(7, String::len);
        numbers.wrapping_add(texts as u64)
    }
}
