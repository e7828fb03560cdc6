package asyncapi_test

import (
	"strings"
	"testing"

	"lonja/kit/asyncapi"
	"lonja/kit/bus"
	"lonja/kit/httpapi/apitest"
	"lonja/kit/kittest"
	"lonja/kit/service"
	"lonja/kit/streams"
)

func parse(t *testing.T, yaml string) *streams.Config {
	t.Helper()
	config, err := streams.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// An application chooses where its events are recorded. Nothing in the document
// depends on how their subjects begin.
func TestNew_SubjectsOfEventsAreTheApplicationsOwn(t *testing.T) {
	config := parse(t, `{streams: [{name: LOG, subjects: [acme.log.>], metadata: {lonja-private: counters}}]}`)
	doc, err := asyncapi.New(asyncapi.Config{Info: asyncapi.Info{Title: "Acme"}, Streams: config,
		Events: []asyncapi.Event{added("acme.log.counter.*.added")}})
	if err != nil {
		t.Fatal(err)
	}
	c := doc.Channels["acme.log.counter.added"]
	if c == nil || c.Address != "acme.log.counter.{counterId}.added" || c.XJetStream == nil || c.XJetStream.Stream != "LOG" {
		t.Fatalf("the channel of the event is %+v", c)
	}
	if err := doc.Uncovered(config); err != nil {
		t.Error(err)
	}
	page, policy, err := doc.Page(asyncapi.Links{Document: "/acme.json"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Events of counter", `href="/acme.json"`, "acme.log.counter.{counterId}.added", "<code>LOG</code>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(string(page), "the HTTP API") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the page links to what there is not, or may load what it likes: %s", policy)
	}
}

// reminding reacts to the event of counters, at once and later.
func reminding() *service.Service {
	s := apitest.Counters()
	reaction := service.Forget(func(kittest.Added) bus.Owner { return bus.Owner{} })
	s.Reactions = []service.Reaction{{Consumer: "counters-on-counters", Handlers: []service.Handler{reaction}}}
	s.Timers = []service.Timer{{Name: "counters-due", Stream: kittest.Stream, Handlers: []service.Handler{reaction}, SetBy: "counters-reminders"}}
	return s
}

const withTimers = `
streams:
  - name: COUNTERS
    subjects: [events.counter.>]
    consumers: [{durable_name: counters-on-counters, filter_subjects: [events.counter.*.added], ack_policy: explicit, max_deliver: -1}]
  - name: TIMERS
    subjects: [timers.>]
    consumers: [{durable_name: counters-due, filter_subjects: [timers.due.counters-due.*], ack_policy: explicit, max_deliver: -1}]
`

func TestNew_DescribesRemindersAndReactions(t *testing.T) {
	doc, err := asyncapi.New(asyncapi.Config{Services: []*service.Service{reminding()}, Streams: parse(t, withTimers),
		Events: []asyncapi.Event{added("events.counter.*.added")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, consumer := range map[string]string{
		"counters.receive.events.counter.added":    "counters-on-counters",
		"counters.receive.timers.due.counters-due": "counters-due",
	} {
		if o := doc.Operations[name]; o == nil || strings.Join(o.XConsumers, " ") != consumer {
			t.Errorf("%s is %+v, want it by %s", name, o, consumer)
		}
	}
	if o := doc.Operations["counters.send.timers.set.counters-due"]; o == nil {
		t.Error("that reminders are set is not described")
	}
	if doc.Operations["counters.receive.timers.set.counters-due"] != nil {
		t.Error("a reminder that is not due is received")
	}
}

func TestNew_AnUnknownEventOrConsumerIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		config asyncapi.Config
		want   string
	}{
		"event":    {asyncapi.Config{Streams: parse(t, withTimers)}, "counter.added.v1"},
		"consumer": {asyncapi.Config{Streams: parse(t, streamsYAML), Events: []asyncapi.Event{added("events.counter.*.added")}}, "counters-on-counters"},
	} {
		c.config.Services = []*service.Service{reminding()}
		if _, err := asyncapi.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %s, got %v", name, c.want, err)
		}
	}
}

func TestUncovered_NamesWhatIsMissing(t *testing.T) {
	doc, err := asyncapi.New(asyncapi.Config{Streams: parse(t, streamsYAML), Events: []asyncapi.Event{added("events.counter.*.added")}})
	if err != nil {
		t.Fatal(err)
	}
	err = doc.Uncovered(parse(t, withTimers))
	for _, want := range []string{"timers.>", "counters-due"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s named, got %v", want, err)
		}
	}
	doc.Channels["events.counter.added"].XJetStream = nil
	if err := doc.Uncovered(parse(t, streamsYAML)); err == nil || !strings.Contains(err.Error(), "events.counter.added") {
		t.Errorf("events that no stream keeps are accepted: %v", err)
	}
}
