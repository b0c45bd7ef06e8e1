//! Golden texts of the plan: what people read, and what tools parse.

use stream_core::{Configuration, DataStream, ExplainFormat, StreamingContext};

fn context(parallelism: usize) -> StreamingContext {
    StreamingContext::new(Configuration::empty()).parallelism(parallelism)
}

fn explain(context: &StreamingContext, format: ExplainFormat) -> String {
    context.plan("orders").expect("a valid plan").explain(format)
}

fn text(context: &StreamingContext) -> String {
    explain(context, ExplainFormat::Text)
}

/// One chain with names and uids.
fn linear() -> StreamingContext {
    let ctx = context(2);
    let orders = ctx.generate(1_000_000, |i| i).name("orders").uid("orders").map(|order| order + 1);
    orders.filter(|order| order % 2 == 0).name("paid only").uid("paid").for_each(|_| {}).name("archive");
    ctx
}

/// Every kind of edge: chained, branch, union, rebalance, another parallelism.
fn branches() -> StreamingContext {
    let ctx = context(2);
    let numbers = ctx.from_iter(0..5u64).map(|x| x * 2);
    let odd = numbers.clone().filter(|x| x % 2 == 1).map(|x| x.to_string());
    odd.clone().print();
    odd.inspect(|_| {}).collect();
    numbers.clone().rebalance().map(|x| x + 1).parallelism(3).collect();
    numbers.union([ctx.generate(10, |i| i)]).for_each(|_| {}).name("all");
    ctx
}

#[test]
fn a_chain_as_text() {
    insta::assert_snapshot!(text(&linear()), @r"
    job `orders`: 1 chain, 2 subtasks

    chain 1 ×2
      source generate `orders`  uid orders  1000000 records
      map
      filter `paid only`        uid paid
      sink for_each `archive`
    ");
}

#[test]
fn a_chain_as_dot() {
    insta::assert_snapshot!(explain(&linear(), ExplainFormat::Dot), @r#"
    digraph "orders" {
      rankdir=LR;
      node [shape=box];
      subgraph cluster_0 {
        label="chain 1 ×2";
        n0 [label="source generate\norders\n1000000 records"];
        n1 [label="map"];
        n2 [label="filter\npaid only"];
        n3 [label="sink for_each\narchive"];
      }
      n0 -> n1;
      n1 -> n2;
      n2 -> n3;
    }
    "#);
}

#[test]
fn a_chain_as_mermaid() {
    insta::assert_snapshot!(explain(&linear(), ExplainFormat::Mermaid), @r#"
    flowchart LR
      subgraph c0["chain 1 ×2"]
        n0["source generate<br/>orders<br/>1000000 records"]
        n1["map"]
        n2["filter<br/>paid only"]
        n3["sink for_each<br/>archive"]
      end
      n0 --> n1
      n1 --> n2
      n2 --> n3
    "#);
}

#[test]
fn a_chain_as_json() {
    insta::assert_snapshot!(explain(&linear(), ExplainFormat::Json), @r#"
    {
      "job": "orders",
      "nodes": [
        {"id": 0, "role": "source", "kind": "generate", "name": "orders", "uid": "orders", "detail": "1000000 records", "parallelism": 2, "chain": 1},
        {"id": 1, "role": "operator", "kind": "map", "name": "map", "uid": "map-2", "detail": "", "parallelism": 2, "chain": 1},
        {"id": 2, "role": "operator", "kind": "filter", "name": "paid only", "uid": "paid", "detail": "", "parallelism": 2, "chain": 1},
        {"id": 3, "role": "sink", "kind": "for_each", "name": "archive", "uid": "for_each-4", "detail": "", "parallelism": 2, "chain": 1}
      ],
      "edges": [
        {"from": 0, "to": 1, "partitioning": "forward", "chained": true},
        {"from": 1, "to": 2, "partitioning": "forward", "chained": true},
        {"from": 2, "to": 3, "partitioning": "forward", "chained": true}
      ]
    }
    "#);
}

#[test]
fn branches_as_text() {
    insta::assert_snapshot!(text(&branches()), @r"
    job `orders`: 6 chains, 12 subtasks

    chain 1 ×1
      source from_iter
      ⇢ rebalance to chain 2

    chain 2 ×2
      map
      ├ filter
      │ map
      │ ├ sink print
      │ └ inspect
      │   sink collect
      ├ ⇢ rebalance to chain 3
      └ ⇢ forward to chain 6

    chain 3 ×3
      map
      ⇢ rebalance to chain 4

    chain 4 ×2
      sink collect

    chain 5 ×2
      source generate  10 records
      ⇢ forward to chain 6

    chain 6 ×2
      union
      sink for_each `all`
    ");
}

#[test]
fn branches_as_dot() {
    insta::assert_snapshot!(explain(&branches(), ExplainFormat::Dot), @r#"
    digraph "orders" {
      rankdir=LR;
      node [shape=box];
      subgraph cluster_0 {
        label="chain 1 ×1";
        n0 [label="source from_iter"];
      }
      subgraph cluster_1 {
        label="chain 2 ×2";
        n1 [label="map"];
        n2 [label="filter"];
        n3 [label="map"];
        n4 [label="sink print"];
        n5 [label="inspect"];
        n6 [label="sink collect"];
      }
      subgraph cluster_2 {
        label="chain 3 ×3";
        n7 [label="map"];
      }
      subgraph cluster_3 {
        label="chain 4 ×2";
        n8 [label="sink collect"];
      }
      subgraph cluster_4 {
        label="chain 5 ×2";
        n9 [label="source generate\n10 records"];
      }
      subgraph cluster_5 {
        label="chain 6 ×2";
        n10 [label="union"];
        n11 [label="sink for_each\nall"];
      }
      n0 -> n1 [label="rebalance", style=dashed];
      n1 -> n2;
      n2 -> n3;
      n3 -> n4;
      n3 -> n5;
      n5 -> n6;
      n1 -> n7 [label="rebalance", style=dashed];
      n7 -> n8 [label="rebalance", style=dashed];
      n1 -> n10 [label="forward", style=dashed];
      n9 -> n10 [label="forward", style=dashed];
      n10 -> n11;
    }
    "#);
}

#[test]
fn branches_as_mermaid() {
    insta::assert_snapshot!(explain(&branches(), ExplainFormat::Mermaid), @r#"
    flowchart LR
      subgraph c0["chain 1 ×1"]
        n0["source from_iter"]
      end
      subgraph c1["chain 2 ×2"]
        n1["map"]
        n2["filter"]
        n3["map"]
        n4["sink print"]
        n5["inspect"]
        n6["sink collect"]
      end
      subgraph c2["chain 3 ×3"]
        n7["map"]
      end
      subgraph c3["chain 4 ×2"]
        n8["sink collect"]
      end
      subgraph c4["chain 5 ×2"]
        n9["source generate<br/>10 records"]
      end
      subgraph c5["chain 6 ×2"]
        n10["union"]
        n11["sink for_each<br/>all"]
      end
      n0 -. rebalance .-> n1
      n1 --> n2
      n2 --> n3
      n3 --> n4
      n3 --> n5
      n5 --> n6
      n1 -. rebalance .-> n7
      n7 -. rebalance .-> n8
      n1 -. forward .-> n10
      n9 -. forward .-> n10
      n10 --> n11
    "#);
}

#[test]
fn branches_as_json() {
    insta::assert_snapshot!(explain(&branches(), ExplainFormat::Json), @r#"
    {
      "job": "orders",
      "nodes": [
        {"id": 0, "role": "source", "kind": "from_iter", "name": "from_iter", "uid": "from_iter-1", "detail": "", "parallelism": 1, "chain": 1},
        {"id": 1, "role": "operator", "kind": "map", "name": "map", "uid": "map-2", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 2, "role": "operator", "kind": "filter", "name": "filter", "uid": "filter-3", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 3, "role": "operator", "kind": "map", "name": "map", "uid": "map-4", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 4, "role": "sink", "kind": "print", "name": "print", "uid": "print-5", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 5, "role": "operator", "kind": "inspect", "name": "inspect", "uid": "inspect-6", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 6, "role": "sink", "kind": "collect", "name": "collect", "uid": "collect-7", "detail": "", "parallelism": 2, "chain": 2},
        {"id": 7, "role": "operator", "kind": "map", "name": "map", "uid": "map-8", "detail": "", "parallelism": 3, "chain": 3},
        {"id": 8, "role": "sink", "kind": "collect", "name": "collect", "uid": "collect-9", "detail": "", "parallelism": 2, "chain": 4},
        {"id": 9, "role": "source", "kind": "generate", "name": "generate", "uid": "generate-10", "detail": "10 records", "parallelism": 2, "chain": 5},
        {"id": 10, "role": "operator", "kind": "union", "name": "union", "uid": "union-11", "detail": "", "parallelism": 2, "chain": 6},
        {"id": 11, "role": "sink", "kind": "for_each", "name": "all", "uid": "for_each-12", "detail": "", "parallelism": 2, "chain": 6}
      ],
      "edges": [
        {"from": 0, "to": 1, "partitioning": "rebalance", "chained": false},
        {"from": 1, "to": 2, "partitioning": "forward", "chained": true},
        {"from": 2, "to": 3, "partitioning": "forward", "chained": true},
        {"from": 3, "to": 4, "partitioning": "forward", "chained": true},
        {"from": 3, "to": 5, "partitioning": "forward", "chained": true},
        {"from": 5, "to": 6, "partitioning": "forward", "chained": true},
        {"from": 1, "to": 7, "partitioning": "rebalance", "chained": false},
        {"from": 7, "to": 8, "partitioning": "rebalance", "chained": false},
        {"from": 1, "to": 10, "partitioning": "forward", "chained": false},
        {"from": 9, "to": 10, "partitioning": "forward", "chained": false},
        {"from": 10, "to": 11, "partitioning": "forward", "chained": true}
      ]
    }
    "#);
}

#[test]
fn a_union_of_equal_parallelism_goes_forward() {
    let ctx = context(3);
    ctx.generate(1, |i| i).union([ctx.generate(2, |i| i), ctx.generate(3, |i| i)]).collect();
    insta::assert_snapshot!(text(&ctx), @r"
    job `orders`: 4 chains, 12 subtasks

    chain 1 ×3
      source generate  1 record
      ⇢ forward to chain 4

    chain 2 ×3
      source generate  2 records
      ⇢ forward to chain 4

    chain 3 ×3
      source generate  3 records
      ⇢ forward to chain 4

    chain 4 ×3
      union
      sink collect
    ");
}

#[test]
fn a_change_of_parallelism_breaks_the_chain() {
    let ctx = context(1);
    ctx.generate(9, |i| i).parallelism(4).map(|i| i).parallelism(4).rebalance().map(|i| i).parallelism(2).collect();
    insta::assert_snapshot!(text(&ctx), @r"
    job `orders`: 3 chains, 7 subtasks

    chain 1 ×4
      source generate  9 records
      map
      ⇢ rebalance to chain 2

    chain 2 ×2
      map
      ⇢ rebalance to chain 3

    chain 3 ×1
      sink collect
    ");
}

#[test]
fn a_plan_without_a_sink_can_be_explained() {
    let ctx = context(1);
    let unfinished: DataStream<u64> = ctx.generate(1, |i| i).map(|i| i);
    insta::assert_snapshot!(text(&ctx), @r"
    job `orders`: 1 chain, 1 subtask

    chain 1 ×1
      source generate  1 record
      map
    ");
    drop(unfinished);
}

#[test]
fn names_with_special_characters_are_escaped() {
    let ctx = context(1);
    ctx.from_iter([1]).name(r#"a "quoted" <b> & #1 \ name"#).collect();
    insta::assert_snapshot!(explain(&ctx, ExplainFormat::Mermaid), @r#"
    flowchart LR
      subgraph c0["chain 1 ×1"]
        n0["source from_iter<br/>a &quot;quoted&quot; &lt;b> &amp; #35;1 \ name"]
        n1["sink collect"]
      end
      n0 --> n1
    "#);
    insta::assert_snapshot!(explain(&ctx, ExplainFormat::Dot), @r#"
    digraph "orders" {
      rankdir=LR;
      node [shape=box];
      subgraph cluster_0 {
        label="chain 1 ×1";
        n0 [label="source from_iter\na \"quoted\" <b> & #1 \\ name"];
        n1 [label="sink collect"];
      }
      n0 -> n1;
    }
    "#);
    insta::assert_snapshot!(explain(&ctx, ExplainFormat::Json), @r#"
    {
      "job": "orders",
      "nodes": [
        {"id": 0, "role": "source", "kind": "from_iter", "name": "a \"quoted\" <b> & #1 \\ name", "uid": "from_iter-1", "detail": "", "parallelism": 1, "chain": 1},
        {"id": 1, "role": "sink", "kind": "collect", "name": "collect", "uid": "collect-2", "detail": "", "parallelism": 1, "chain": 1}
      ],
      "edges": [
        {"from": 0, "to": 1, "partitioning": "forward", "chained": true}
      ]
    }
    "#);
}

#[test]
fn the_json_is_json() {
    let json = explain(&branches(), ExplainFormat::Json);
    let plan: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    let edges = plan["edges"].as_array().expect("an array");
    let exchanges = edges.iter().filter(|edge| edge["chained"] == false).count();
    assert_eq!((plan["nodes"].as_array().map(Vec::len), edges.len(), exchanges), (Some(12), 11, 5));
}
