//! What a gateway is told: SNAP's codes, which decide whether it comes again.

use crate::engine::protocol::Reply;
use crate::engine::time::Millis;

/// In the form that DANA's "Finish notify" documents: a code, and a message of at most 150 characters.
pub(super) fn reply(
    (status, case): (u16, u8),
    service: Option<&str>,
    message: &str,
    reason: &'static str,
) -> Reply {
    let service = service.unwrap_or("00");
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let body = serde_json::json!({
        "responseCode": format!("{status}{service}{case:02}"),
        "responseMessage": message,
    });
    let headers = vec![("content-type", "application/json".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes(), reason }
}

const MESSAGE_CHARS_MAX: usize = 150;

/// 5005601: DANA comes again, for up to seven days.
pub(super) fn again(why: &'static str, service: Option<&str>, wait: Millis) -> Reply {
    let message = match why {
        "under_way" => "This notification is being processed. Send it again.",
        "application_away" => "The merchant's application did not answer. Send it again.",
        _ => "This notification could not be recorded. Send it again.",
    };
    let mut reply = reply((500, 1), service, message, why);
    reply.headers.push(("retry-after", wait.as_retry_after().to_string()));
    reply
}

/// The application has confirmed it; its answer is not kept any longer.
pub(super) fn confirmed_before(service: Option<&str>) -> Reply {
    reply((200, 0), service, "Successful", "replay")
}
