//! The message as HTML, in the little that mail programs agree on: tables and inline styles.

use streamflow_sdk::{
    Notice,
    group::{Listing, Member},
    message,
};

const FONT: &str = "font-family:-apple-system,Segoe UI,Helvetica,Arial,sans-serif;color:#1f2328";
const CELL: &str = "padding:4px 12px 4px 0;vertical-align:top;font-size:13px";

pub(crate) fn page(notice: &Notice, listing: &Listing) -> String {
    let colour = format!("#{:06x}", message::colour(notice));
    let mut page = format!(
        "<!doctype html><html><body style=\"margin:0;padding:16px;background:#f6f8fa;{FONT}\">\
         <div style=\"max-width:640px;margin:auto;background:#fff;border:1px solid #d0d7de;border-top:6px solid {colour};padding:16px 20px\">\
         <h2 style=\"margin:0 0 8px;font-size:18px\">{}</h2>\
         <p style=\"margin:0 0 12px;font-size:14px;white-space:pre-wrap\">{}</p>",
        escape(&message::heading(notice)),
        escape(&notice.body),
    );
    match listing.members.as_slice() {
        [alert] => labels(&mut page, alert),
        several => alerts(&mut page, several, listing.omitted),
    }
    for (name, url) in message::links(notice) {
        add(
            &mut page,
            format_args!(
                "<a href=\"{}\" style=\"display:inline-block;margin:12px 8px 0 0;padding:8px 14px;background:#1f2328;color:#fff;text-decoration:none;font-size:13px\">{name}</a>",
                escape(url)
            ),
        );
    }
    page.push_str("</div></body></html>");
    page
}

fn labels(page: &mut String, alert: &Member) {
    page.push_str("<table cellspacing=\"0\">");
    for (name, value) in &alert.labels {
        add(
            page,
            format_args!(
                "<tr><td style=\"{CELL};color:#656d76\">{}</td><td style=\"{CELL}\">{}</td></tr>",
                escape(name),
                escape(value)
            ),
        );
    }
    page.push_str("</table>");
}

fn alerts(page: &mut String, alerts: &[Member], omitted: u32) {
    page.push_str("<table cellspacing=\"0\">");
    for alert in alerts {
        add(
            page,
            format_args!(
                "<tr><td style=\"{CELL};color:#656d76\">{}</td><td style=\"{CELL}\">{}</td><td style=\"{CELL}\">{}</td></tr>",
                message::state(alert.state),
                message::level(alert.level),
                escape(&alert.title)
            ),
        );
    }
    page.push_str("</table>");
    if omitted > 0 {
        add(page, format_args!("<p style=\"font-size:13px\">and {omitted} more</p>"));
    }
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
