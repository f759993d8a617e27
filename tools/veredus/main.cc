#include <CLI/CLI.hpp>
#include <sysexits.h>

#include "engine/control/config.h"
#include "tools/veredus/commands.h"

// The one user-facing program: its sub-commands and their options, nothing else.

namespace veredus::tools {
namespace {

CLI::Option* add_duration(CLI::App& app, const std::string& name, int64_t& ns,
                          const std::string& help) {
  return app.add_option_function<std::string>(
      name,
      [&ns, name](const std::string& text) {
        const auto value = control::parse_duration_ns(text);
        if (!value) throw CLI::ValidationError(name, "write a time, as in 30s or 10m");
        ns = *value;
      },
      help);
}

// What all orders of operators take; which filters make sense for which is told by the engine.
CLI::App* add_order(CLI::App& app, const std::string& name, const std::string& help,
                    OrderOptions& options) {
  CLI::App* const order = app.add_subcommand(name, help);
  for (const queue::FilterPart& part : queue::kFilterParts) {
    const std::string option = "--" + std::string(part.name);
    if (part.name == "recipient") {
      order->add_option(option, options.of.recipients,
                        "address; to cancel it may be given several times");
    } else {
      order->add_option(option, options.of.filter.*part.text,
                        part.name == "batch" ? "NAME or TENANT/NAME" : "of this one only");
    }
  }
  order->add_option("--reason", options.reason, "in your own words, kept with the order");
  return order;
}

struct DkimOptions {
  CLI::App* app = nullptr;
  DkimKeygenOptions keygen;
  DkimRecordOptions record;
  DkimVerifyOptions verify;
};

void add_dkim(CLI::App& app, DkimOptions& options) {
  options.app = app.add_subcommand("dkim", "keys of signatures, and signatures");
  options.app->require_subcommand(1);
  CLI::App* const keygen =
      options.app->add_subcommand("keygen", "make a key; says what to publish and to configure");
  keygen->add_option("--domain", options.keygen.domain, "that signs (d=)")->required();
  keygen->add_option("--selector", options.keygen.selector, "the key's name (s=)")->required();
  keygen->add_option("--algorithm", options.keygen.algorithm,
                     "rsa2048, another from rsa1024 to rsa4096, or ed25519");
  keygen->add_option("-o,--out", options.keygen.file, "file to make")->required();
  CLI::App* const record =
      options.app->add_subcommand("record", "what to publish and to configure for a key");
  record->add_option("FILE", options.record.file, "the private key")->required();
  record->add_option("--domain", options.record.domain, "that signs (d=)")->required();
  record->add_option("--selector", options.record.selector, "the key's name (s=)")->required();
  CLI::App* const verify =
      options.app->add_subcommand("verify",
                                  "whether the signatures of a message hold (65: not all, or none "
                                  "is there; 70: it cannot be judged)");
  verify->add_option("MESSAGE", options.verify.message, "file; - is standard input")->required();
  verify->add_option("--record", options.verify.record,
                     "the key's record, or a file with it (default: ask the DNS)");
}

int run_dkim(const Common& common, const DkimOptions& options) {
  if (options.app->got_subcommand("keygen")) return run_dkim_keygen(common, options.keygen);
  if (options.app->got_subcommand("record")) return run_dkim_record(common, options.record);
  return run_dkim_verify(common, options.verify);
}

int run(int argc, char** argv) {
  CLI::App app("Veredus delivers batches of mail straight to the recipients' servers.", "veredus");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  Common common;
  CLI::Option* config = app.add_option("-c,--config", common.config_file, "configuration file");
  app.add_option("-s,--socket", common.socket, "feed socket (default: of the configuration)");
  app.add_flag("--json", common.json, "print JSON");
  app.fallthrough();

  app.add_subcommand("serve", "run the engine");

  SendOptions send;
  CLI::App* send_app = app.add_subcommand("send", "feed a batch; safe to repeat");
  send_app->add_option("FILE", send.file, "batch as JSON lines; - is standard input")->required();
  send_app->add_flag("-w,--wait", send.wait, "until nothing of it waits any more");
  add_duration(*send_app, "--wait-limit", send.wait_limit_ns, "give up waiting after this time");
  add_duration(*send_app, "--retry-for", send.retry_for_ns,
               "how long to try again when the engine is away or full (10m)");
  send_app->add_flag("-q,--quiet", send.quiet, "no progress bar");

  RenderOptions render;
  CLI::App* render_app = app.add_subcommand(
      "render", "the message that a recipient of a batch would get, and what is found of it");
  render_app->add_option("FILE", render.file, "batch as JSON lines; - is standard input")
      ->required();
  render_app->add_option("--to", render.to, "the recipient's address")->required();

  StatusOptions status;
  CLI::App* status_app = app.add_subcommand("status", "what became of the batches");
  status_app->add_option("BATCH", status.batch, "one batch, as NAME or TENANT/NAME");
  status_app->add_option("-t,--tenant", status.tenant, "of the batch");
  status_app->add_flag("-w,--watch", status.watch, "again every second");
  status_app->add_option("-n,--limit", status.limit, "how many batches to list");

  EventsOptions events;
  CLI::App* events_app = app.add_subcommand("events", "what happens, one JSON object a line");
  events_app->add_flag("-f,--follow", events.follow, "go on, over restarts of the engine");
  events_app->add_option("--after", events.after, "go on behind this cursor");
  events_app->add_option("--consumer", events.consumer,
                         "as this consumer: from where it was, and kept until it is printed");
  events_app->add_option("--state", events.state_file, "file that keeps the cursor between runs");
  events_app->add_flag("--cursors", events.cursors, "print the lines with cursors, too");
  events_app->add_option("--type", events.type, "only these, separated by commas");
  events_app->add_option("--tenant", events.tenant, "only of this tenant");
  events_app->add_option("--batch", events.batch, "only of this batch");
  events_app->add_option("--campaign", events.campaign, "only of this campaign");
  events_app->add_option("-n,--limit", events.limit, "stop after so many");

  OrderOptions suspend, cancel, retry, expire;
  CLI::App* suspend_app =
      add_order(app, "suspend", "mail that fits, also such as comes later, waits", suspend);
  suspend_app->add_option("--until", suspend.until, "RFC 3339 time, or how long, as in 2h");
  suspend_app->add_flag("--list", suspend.list, "show the orders in force, of all kinds");
  CLI::App* cancel_app = add_order(
      app, "cancel",
      "give up what waits and fits; by --recipient alone the journals forget the address, too",
      cancel);
  CLI::App* retry_app = add_order(app, "retry", "try what waits and fits again at once", retry);
  CLI::App* expire_app =
      add_order(app, "expire", "end the time of what waits and fits: it is given up", expire);

  ResumeOptions resume;
  CLI::App* resume_app = app.add_subcommand("resume", "lift a suspension");
  CLI::Option* resumed =
      resume_app->add_option("ORDER", resume.order, "its number, as suspend --list shows it")
          ->check(CLI::PositiveNumber);
  CLI::Option* resumed_batch = resume_app->add_option(
      "--batch", resume.batch, "those of this batch, as NAME or TENANT/NAME");
  resume_app->add_option("-t,--tenant", resume.tenant, "of the batch");
  resumed->excludes(resumed_batch);
  WhyOptions why;
  CLI::App* why_app =
      app.add_subcommand("why", "what mail waits for, the setting behind it, and when it clears");
  why_app->add_option("WHAT", why.what, "an address, or a batch as NAME or TENANT/NAME");
  why_app->add_option("--to", why.to, "an address, in any batch or in that of --batch");
  why_app->add_option("--batch", why.batch, "a batch, as NAME or TENANT/NAME");
  why_app->add_option("-t,--tenant", why.tenant, "of the batch");
  why_app->add_option("-i,--index", why.index, "one recipient of the batch");
  why_app->add_option("--domain", why.domain, "all mail to a domain; .NAME: below it");
  why_app->add_option("--site", why.site, "all mail to a site, as `veredus sites` shows it");
  why_app->add_option("-n,--limit", why.limit, "recipients or groups to show");

  SitesOptions sites;
  CLI::App* sites_app = app.add_subcommand("sites", "what waits and flows at each site");
  CLI::Option* one_site = sites_app->add_option("SITE", sites.site, "one site, with its limits");
  sites_app->add_flag("-p,--providers", sites.by_provider, "sums by provider, of all sites")
      ->excludes(one_site);
  sites_app->add_option("-n,--limit", sites.limit, "how many to list, most waiting first");

  TopOptions top;
  CLI::App* top_app = app.add_subcommand("top", "what flows now, again every second");
  top_app->add_flag("-p,--providers", top.by_provider, "by provider, not by site");
  top_app->add_option("-n,--lines", top.lines, "how many to show");
  add_duration(*top_app, "--every", top.every_ns, "time between two looks (1s)");
  top_app->add_option("--rounds", top.rounds, "end after so many");

  TraceOptions trace;
  CLI::App* trace_app =
      app.add_subcommand("trace", "what sessions say and hear, live, until it is interrupted");
  trace_app->add_option("--site", trace.site, "to this site only, as `veredus sites` shows it");
  trace_app->add_option("--domain", trace.domain,
                        "to where its mail goes, without others' mail; .NAME: below it");
  trace_app->add_option("--host", trace.host,
                        "with this host, by name or address; .NAME: below it");
  trace_app->add_option("--source", trace.source, "from this source");
  trace_app->add_option("--provider", trace.provider, "by this provider's rules");
  trace_app->add_flag("--credentials", trace.credentials, "what AUTH says, too");
  trace_app->add_flag("--content", trace.content, "the first 16 KiB of each message, too");

  SpoolOptions spool;
  CLI::App* spool_app = app.add_subcommand("spool", "look into the journals, read only");
  spool_app
      ->add_option("WHAT", spool.what,
                   "list: journals and segments; verify: read and check all that is needed "
                   "(65: damage); outcomes: those still in the journals; waiting: who waits, "
                   "all others are settled; orders: what operators ordered, as far as it holds")
      ->check(CLI::IsMember({"list", "verify", "outcomes", "waiting", "orders"}));
  spool_app->add_option("--spool", spool.spool, "directory (default: of the configuration)");
  spool_app->add_option("--batch", spool.batch, "only of this batch, as NAME or TENANT/NAME");
  spool_app->add_flag("--final", spool.final_only, "outcomes: only those that are final");
  spool_app->add_flag("--segments", spool.segments, "list: each segment, too");

  AuditOptions audit;
  CLI::App* audit_app =
      app.add_subcommand("audit", "whether the journals account for every recipient (65: not so)");
  audit_app->add_option("BATCH", audit.batch, "one batch, as NAME or TENANT/NAME");
  audit_app->add_option("--spool", audit.spool, "directory (default: of the configuration)");
  audit_app->add_flag("--compare", audit.compare, "with the running engine's tallies, too");

  CLI::App* reload_app =
      app.add_subcommand("reload", "have the engine read its configuration again, as SIGHUP does");

  CheckConfigOptions check;
  CLI::App* check_app = app.add_subcommand("check-config", "read a configuration and explain it");
  check_app->add_option("FILE", check.file, "default: that of --config");
  check_app->add_flag("--providers", check.providers,
                      "print what is shipped for known providers instead");
  ClassifyOptions classify;
  CLI::App* classify_app = app.add_subcommand(
      "classify", "how replies on standard input are judged, one JSON object a line");
  classify_app->add_option("--rules", classify.rules,
                           "try this file of rules (default: that of the configuration)");
  classify_app->add_option("--stage", classify.stage,
                           "what they answer where they do not say: rcpt, end-of-data, …");
  classify_app->add_flag("--print-rules", classify.print_rules, "print the rules shipped instead");
  DkimOptions dkim;
  add_dkim(app, dkim);
  CLI::App* doctor_app = app.add_subcommand("doctor", "look for what this host lacks");

  try {
    app.parse(argc, argv);
    if (app.got_subcommand(resume_app) && resumed->empty() && resumed_batch->empty())
      throw CLI::RequiredError("the number of an order, or --batch");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EX_OK : EX_USAGE;
  }
  common.config_given = config->count() > 0;
  if (app.got_subcommand(send_app)) return run_send(common, send);
  if (app.got_subcommand(render_app)) return run_render(common, render);
  if (app.got_subcommand(status_app)) return run_status(common, status);
  if (app.got_subcommand(events_app)) return run_events(common, events);
  using Kind = queue::Order::Kind;
  if (app.got_subcommand(suspend_app)) return run_order(common, Kind::suspend, suspend);
  if (app.got_subcommand(cancel_app)) return run_order(common, Kind::cancel, cancel);
  if (app.got_subcommand(retry_app)) return run_order(common, Kind::retry, retry);
  if (app.got_subcommand(expire_app)) return run_order(common, Kind::expire, expire);
  if (app.got_subcommand(resume_app)) return run_resume(common, resume);
  if (app.got_subcommand(why_app)) return run_why(common, why);
  if (app.got_subcommand(sites_app)) return run_sites(common, sites);
  if (app.got_subcommand(top_app)) return run_top(common, top);
  if (app.got_subcommand(trace_app)) return run_trace(common, trace);
  if (app.got_subcommand(spool_app)) return run_spool(common, spool);
  if (app.got_subcommand(audit_app)) return run_audit(common, audit);
  if (app.got_subcommand(reload_app)) return run_reload(common);
  if (app.got_subcommand(check_app)) return run_check_config(common, check);
  if (app.got_subcommand(classify_app)) return run_classify(common, classify);
  if (app.got_subcommand(dkim.app)) return run_dkim(common, dkim);
  if (app.got_subcommand(doctor_app)) return run_doctor(common);
  return run_serve(common);
}

}  // namespace
}  // namespace veredus::tools

int main(int argc, char** argv) {
  return veredus::tools::run(argc, argv);
}
