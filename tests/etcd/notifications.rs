//! Gateways' notifications where claims stand in etcd: whichever Envoy they come by, they are evidence for all,
//! and reach the application once.

use std::thread;

use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, pay};
use crate::support::application::{Application, CONFIRMED, Says};
use crate::support::envoy::{Envoy, plugin, quick, with_notifications};
use crate::support::until;

/// Two Envoys before one application.
struct Two {
    scene: Scene,
    application: Application,
    envoys: [Envoy; 2],
}

impl Two {
    fn start() -> Self {
        Self::with("local")
    }

    /// With answers to payments kept there.
    fn with(answers: &str) -> Self {
        let (scene, application) = (Scene::new(&json!({})), Application::start());
        let mut config = with_notifications(scene.config().clone(), &application.address, &quick());
        let settings = &mut plugin(&mut config)["configuration"]["value"];
        settings["idempotency"]["store"]["etcd"]["answers"] = json!(answers);
        scene.etcd.keep_notifications_of(&mut config);
        let envoys = [(); 2].map(|()| {
            let envoy = Envoy::start_without_heartbeat(&config);
            until("all have joined, with the main thread's VMs", PATIENCE, || {
                (envoy.log().matches("joined the claim store in etcd").count() >= 6).then_some(())
            });
            envoy
        });
        Self { scene, application, envoys }
    }

    fn notify(&self, envoy: usize, reference: &str, times: u32) -> Vec<Value> {
        let to = self.envoys[envoy].listening("dana_notify").unwrap();
        let notice = json!({"reference": reference, "to": format!("http://{to}"), "times": times});
        self.scene.sandbox.notify("primary", &notice)
    }
}

#[test]
fn a_doubt_of_one_envoy_is_settled_by_a_notification_at_another_once() {
    let two = Two::start();
    let reset = json!({"fault": "reset", "executes": true, "count": 1});
    two.scene.sandbox.fault("primary", &reset);
    assert_eq!(pay(&two.envoys[0], "DOUBT").outcome(), "unknown");
    assert_eq!(two.scene.open(), 1);
    for envoy in [1, 0] {
        for answer in two.notify(envoy, "DOUBT", 5) {
            assert_eq!(answer["status"], 200, "{answer}");
        }
    }
    assert_eq!((two.scene.open(), two.application.received().len()), (0, 1));
    // The answer itself stays with the Envoy that has it.
    let own = two.notify(1, "DOUBT", 1);
    assert_eq!(own[0]["body"], CONFIRMED);
    let repeat = pay(&two.envoys[0], "DOUBT");
    assert_eq!(repeat.status, 200, "{repeat:?}");
    assert_eq!(two.scene.sandbox.executed_at("DOUBT"), ["primary"]);
}

#[test]
fn while_one_envoy_gives_it_to_the_application_another_does_not() {
    let two = Two::start();
    assert_eq!(pay(&two.envoys[0], "SLOW").status, 200);
    two.application.says(Says::Nothing);
    thread::scope(|threads| {
        let first = threads.spawn(|| two.notify(0, "SLOW", 1));
        until("the application has it", PATIENCE, || {
            (two.application.received().len() == 1).then_some(())
        });
        let second = two.notify(1, "SLOW", 2);
        assert!(second.iter().all(|answer| answer["status"] == 500), "{second:?}");
        two.application.confirms();
        assert_eq!(first.join().unwrap()[0]["body"], CONFIRMED);
    });
    assert_eq!(two.application.received().len(), 1);
}

#[test]
fn while_the_store_is_away_nothing_is_passed_on_and_later_it_is() {
    let two = Two::start();
    assert_eq!(pay(&two.envoys[0], "AWAY").status, 200);
    let frozen = two.scene.freeze_majority();
    let answers = two.notify(0, "AWAY", 1);
    assert_eq!(answers[0]["status"], 500, "{answers:?}");
    assert!(answers[0]["body"].as_str().unwrap().contains("could not be recorded"), "{answers:?}");
    assert!(two.application.received().is_empty());
    two.scene.thaw(&frozen);
    until("it is taken in", PATIENCE, || {
        (two.notify(0, "AWAY", 1)[0]["status"] == 200).then_some(())
    });
    assert_eq!(two.application.received().len(), 1);
}

/// An answer to a notification is none to a payment, and stays in the Envoy that has it.
#[test]
fn with_answers_in_the_store_a_repeat_gets_the_applications_own_too() {
    let two = Two::with("store");
    assert_eq!(pay(&two.envoys[0], "KEPT").status, 200);
    for answer in two.notify(0, "KEPT", 3) {
        assert_eq!(answer["body"], CONFIRMED);
    }
    let elsewhere = two.notify(1, "KEPT", 1);
    assert_eq!(elsewhere[0]["status"], 200);
    assert!(elsewhere[0]["body"].as_str().unwrap().contains("2005600"), "{elsewhere:?}");
    assert_eq!(two.application.received().len(), 1);
}
