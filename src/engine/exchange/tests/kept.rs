//! Answers that are kept, and payments that were executed whose answer is not.

use super::*;

fn numbered(number: usize) -> (Asked, String) {
    let [order, ok] = [ORDER, OK].map(|text| text.replace("r-1", &format!("n-{number}")));
    (post(CREATE, &order), ok)
}

#[test]
fn half_as_many_answers_as_are_kept_are_all_found_again() {
    let store = r#""store": {"local": {"claims_max": 16384}}, "bodies_max": 1024"#;
    let mut world =
        World::with(&CONFIG.replace(r#""store": {"local": {"claims_max": 64}}"#, store));
    for number in 0..512 {
        let (asked, ok) = numbered(number);
        assert_eq!(world.ask(&asked, Some(upstream(200, &ok))), "relayed from primary");
    }
    let replays = (0..512).filter(|number| {
        let (asked, ok) = numbered(*number);
        let run = world.begin(&asked);
        run.told() == "200 replay" && run.reply.unwrap().body == ok.as_bytes()
    });
    let replays = replays.count();
    assert!(replays >= 511, "{replays} of 512");
}

/// Both read the set before one of them writes it.
#[test]
fn of_two_answers_that_are_kept_at_once_none_is_lost() {
    let one = CONFIG.replace(r#""body_bytes_max""#, r#""bodies_max": 1, "body_bytes_max""#);
    let mut world = World::with(&one);
    let mut runs = [1, 2].map(|number| {
        let (asked, ok) = numbered(number);
        (world.begin(&asked), ok)
    });
    let time = world.time();
    for (run, ok) in &mut runs {
        let answer = Answer {
            evidence: upstream(200, ok).evidence,
            endpoint: Some("primary"),
            peer: None,
            content_type: None,
            client_waits: true,
        };
        run.todo.extend(run.exchange.handle(Event::Answered(answer), time, &mut world.tallies));
        assert!(matches!(run.todo.front(), Some(Effect::Load(Cell::Body(_)))), "{:?}", run.todo);
    }
    for (run, _) in &mut runs {
        assert!(world.step(run));
    }
    for (run, _) in &mut runs {
        world.go_on(run);
        assert_eq!(run.told(), "relayed from primary");
    }
    for number in [1, 2] {
        let (asked, ok) = numbered(number);
        let run = world.begin(&asked);
        assert_eq!((run.told().as_str(), run.reply.unwrap().body), ("200 replay", ok.into_bytes()));
    }
}
