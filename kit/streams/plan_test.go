package streams_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/streams"
)

const oneStream = `
streams:
  - name: THINGS
    subjects: [things.>]
    storage: file
    deny_delete: true
    consumers:
      - {durable_name: things-reader, filter_subjects: [things.*], ack_policy: explicit, ack_wait: 12000000000, max_deliver: -1}
`

func parse(t *testing.T, text string) *streams.Config {
	t.Helper()
	c, err := streams.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// planLines makes a plan, and returns it with a line for each change.
func planLines(t *testing.T, c *streams.Config, js jetstream.JetStream) (streams.Plan, []string) {
	t.Helper()
	plan, err := c.Plan(t.Context(), js, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, change := range plan.Changes {
		line := string(change.Action) + " " + change.Target()
		for _, d := range change.Fields {
			line += " " + d.Field
		}
		lines = append(lines, line)
	}
	return plan, lines
}

// wantPlan makes a plan, and fails the test unless its lines are as wanted.
func wantPlan(t *testing.T, c *streams.Config, js jetstream.JetStream, want ...string) streams.Plan {
	t.Helper()
	plan, got := planLines(t, c, js)
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Fatalf("the plan is %q, want %q", got, want)
	}
	return plan
}

func TestPlan_IsEmptyAfterApply(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, oneStream)
	plan := wantPlan(t, c, js, "create stream THINGS", "create consumer things-reader on THINGS")
	if !slices.Contains(plan.Foreign, kittest.Stream) {
		t.Errorf("foreign streams are %v", plan.Foreign)
	}
	if err := plan.Apply(t.Context(), js, nil); err != nil {
		t.Fatal(err)
	}
	if plan := wantPlan(t, c, js); plan.Unchanged != 2 {
		t.Errorf("%d are unchanged, want 2", plan.Unchanged)
	}
	if _, err := js.Stream(t.Context(), kittest.Stream); err != nil {
		t.Errorf("the foreign stream was touched: %v", err)
	}
}

func TestApply_RevertsChangesMadeOnTheServer(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, oneStream)
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxAge, config.Replicas = time.Hour, 1
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), "THINGS", "things-reader"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Check(t.Context(), js, []string{"THINGS"}); err != nil || len(got) != 1 || !strings.Contains(got[0], "max_age is 3600000000000") {
		t.Errorf("check: %q, %v", got, err)
	}
	wantPlan(t, c, js, "update stream THINGS max_age", "create consumer things-reader on THINGS")
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, c, js)
}

// An existing consumer gets other timeouts while a message is being processed.
func TestPlan_UpdatesTheTimeoutsOfAConsumer(t *testing.T) {
	js := kittest.New(t).JS
	pinned := strings.Replace(oneStream, "max_deliver: -1", "max_deliver: -1, priority_policy: pinned_client, priority_groups: [one], priority_timeout: 5000000000", 1)
	cons := applyWithMessages(t, parse(t, pinned), js, 1)
	if _, err := cons.Fetch(1, jetstream.FetchPriorityGroup("one")); err != nil {
		t.Fatal(err)
	}
	c := parse(t, strings.NewReplacer("ack_wait: 12000000000", "ack_wait: 2000000000", "priority_timeout: 5000000000", "priority_timeout: 2000000000").Replace(pinned))
	wantPlan(t, c, js, "update consumer things-reader on THINGS ack_wait priority_timeout")
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, c, js)
}

func TestApply_ChangesNothingIfOneChangeIsImpossibleOrLosesMessages(t *testing.T) {
	for _, test := range []struct {
		name, from, to, plan, reason string
		allowed                      bool // with --allow-loss
	}{
		{"a shorter age", "storage: file", "storage: file\n    max_age: 3600000000000", "update stream THINGS max_age", "max_age may delete messages", true},
		{"fewer messages", "storage: file", "storage: file\n    max_msgs: 5", "update stream THINGS max_msgs", "--allow-loss THINGS", true},
		{"memory storage", "storage: file", "storage: memory", "refuse stream THINGS storage", "storage of a stream cannot be changed", false},
		{"allowing deletes", "deny_delete: true", "deny_delete: false", "refuse stream THINGS deny_delete", "deny_delete of a stream cannot be changed", false},
		{"a work queue", "storage: file", "storage: file\n    retention: workqueue", "refuse stream THINGS retention", "retention of a stream cannot be changed", false},
		{"no acks", "ack_policy: explicit", "ack_policy: none", "refuse consumer things-reader on THINGS ack_policy", "nats consumer rm THINGS things-reader", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			js := kittest.New(t).JS
			if err := parse(t, oneStream).Apply(t.Context(), js, 0); err != nil {
				t.Fatal(err)
			}
			changed := parse(t, strings.Replace(oneStream, test.from, test.to, 1)+`
  - {name: MORE, subjects: [more.>]}
`)
			plan := wantPlan(t, changed, js, test.plan, "create stream MORE")
			if err := plan.Apply(t.Context(), js, []string{"MORE"}); err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("apply returned %v", err)
			}
			if _, err := js.Stream(t.Context(), "MORE"); err == nil {
				t.Error("another change of the plan was made")
			}
			err := plan.Apply(t.Context(), js, []string{"THINGS"})
			if (err == nil) != test.allowed {
				t.Errorf("with allowLoss for the stream: %v", err)
			}
		})
	}
}

func TestPlan_KeepsReplicasOfExistingStreamsUnlessAsked(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, strings.Replace(oneStream, "storage: file", "storage: file\n    num_replicas: 1", 1))
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	plan, err := c.Plan(t.Context(), js, 3)
	if err != nil || len(plan.Changes) != 1 || plan.Changes[0].Fields[0].Field != "num_replicas" {
		t.Errorf("with three replicas: %+v, %v", plan, err)
	}
	three := parse(t, strings.Replace(oneStream, "storage: file", "storage: file\n    num_replicas: 3", 1))
	wantPlan(t, three, js) // num_replicas applies to new streams only
}

func TestCheck_ReportsAMissingStream(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, oneStream)
	if _, err := c.Check(t.Context(), js, []string{"THINGS"}); !errors.Is(err, streams.ErrMissing) || !strings.Contains(err.Error(), "THINGS") {
		t.Errorf("got %v", err)
	}
	if _, err := js.Stream(t.Context(), "THINGS"); err == nil {
		t.Error("Check created the stream")
	}
}

func TestPlan_JSONFormat(t *testing.T) {
	js := kittest.New(t).JS
	plan, err := parse(t, oneStream).Plan(t.Context(), js, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(plan)
	if want := `{"changes":[{"action":"create","stream":"THINGS"},{"action":"create","stream":"THINGS","consumer":"things-reader"}],"as_said":0,"foreign":["COUNTERS","DEADLETTERS","TIMERS"]}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v", data, err)
	}
}

// The stream already holds more than its new limit.
func TestPlan_ALimitThatDiscardsNewMessagesLosesNone(t *testing.T) {
	log := kittest.New(t)
	before := parse(t, "streams: [{name: THINGS, subjects: [things.>], storage: file}]")
	after := parse(t, "streams: [{name: THINGS, subjects: [things.>], storage: file, discard: new, max_msgs: 5, max_bytes: 1000}]")
	if err := before.Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := log.JS.Publish(t.Context(), "things.one", make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	wantPlan(t, after, log.JS, "update stream THINGS discard max_bytes max_msgs")
	if err := after.Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, after, log.JS)
	if stream, err := log.JS.Stream(t.Context(), "THINGS"); err != nil || stream.CachedInfo().State.Msgs != 20 {
		t.Errorf("%d of 20 messages are left, %v", stream.CachedInfo().State.Msgs, err)
	}
	if _, err := log.JS.Publish(t.Context(), "things.one", nil); !eventlog.IsFull(err) {
		t.Errorf("another message was accepted: %v", err)
	}
}
