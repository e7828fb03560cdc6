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

const said = `
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

// planned is what a plan says, a line for each change.
func planned(t *testing.T, c *streams.Config, js jetstream.JetStream) (streams.Plan, []string) {
	t.Helper()
	plan, err := c.Plan(t.Context(), js, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, change := range plan.Changes {
		line := string(change.Action) + " " + change.What()
		for _, d := range change.Fields {
			line += " " + d.Field
		}
		lines = append(lines, line)
	}
	return plan, lines
}

func wantPlan(t *testing.T, c *streams.Config, js jetstream.JetStream, want ...string) streams.Plan {
	t.Helper()
	plan, got := planned(t, c, js)
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Fatalf("planned %q, want %q", got, want)
	}
	return plan
}

func TestAPlanIsCarriedOutAndThenEmpty(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, said)
	plan := wantPlan(t, c, js, "create stream THINGS", "create consumer things-reader on THINGS")
	if !slices.Contains(plan.Foreign, kittest.Stream) {
		t.Errorf("foreign streams are %v", plan.Foreign)
	}
	if err := plan.Apply(t.Context(), js, nil); err != nil {
		t.Fatal(err)
	}
	if plan := wantPlan(t, c, js); plan.AsSaid != 2 {
		t.Errorf("%d are as said", plan.AsSaid)
	}
	if _, err := js.Stream(t.Context(), kittest.Stream); err != nil {
		t.Errorf("the stream of somebody else: %v", err)
	}
}

func TestWhatWasChangedBehindOurBackIsPutRight(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, said)
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
	if wrong, err := c.Check(t.Context(), js, []string{"THINGS"}); err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], "max_age is 3600000000000") {
		t.Errorf("check: %q, %v", wrong, err)
	}
	wantPlan(t, c, js, "update stream THINGS max_age", "create consumer things-reader on THINGS")
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, c, js)
}

// A consumer that a shop has had for long is given another patience in passing:
// what is under way stays so.
func TestAConsumersPatienceIsChanged(t *testing.T) {
	js := kittest.New(t).JS
	grouped := strings.Replace(said, "max_deliver: -1", "max_deliver: -1, priority_policy: pinned_client, priority_groups: [one], priority_timeout: 5000000000", 1)
	cons := things(t, parse(t, grouped), js, 1)
	if _, err := cons.Fetch(1, jetstream.FetchPriorityGroup("one")); err != nil {
		t.Fatal(err)
	}
	c := parse(t, strings.NewReplacer("ack_wait: 12000000000", "ack_wait: 2000000000", "priority_timeout: 5000000000", "priority_timeout: 2000000000").Replace(grouped))
	wantPlan(t, c, js, "update consumer things-reader on THINGS ack_wait priority_timeout")
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, c, js)
}

func TestNothingIsDoneWhenSomethingIsImpossibleOrLosesMessages(t *testing.T) {
	for _, test := range []struct {
		name, from, to, planned, why string
		allowed                      bool // with --allow-loss
	}{
		{"less age", "storage: file", "storage: file\n    max_age: 3600000000000", "update stream THINGS max_age", "max_age may throw away messages", true},
		{"fewer messages", "storage: file", "storage: file\n    max_msgs: 5", "update stream THINGS max_msgs", "--allow-loss THINGS", true},
		{"memory", "storage: file", "storage: memory", "refuse stream THINGS storage", "storage of a stream cannot be changed", false},
		{"deletes", "deny_delete: true", "deny_delete: false", "refuse stream THINGS deny_delete", "deny_delete of a stream cannot be changed", false},
		{"a work queue", "storage: file", "storage: file\n    retention: workqueue", "refuse stream THINGS retention", "retention of a stream cannot be changed", false},
		{"acks", "ack_policy: explicit", "ack_policy: none", "refuse consumer things-reader on THINGS ack_policy", "nats consumer rm THINGS things-reader", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			js := kittest.New(t).JS
			if err := parse(t, said).Apply(t.Context(), js, 0); err != nil {
				t.Fatal(err)
			}
			changed := parse(t, strings.Replace(said, test.from, test.to, 1)+`
  - {name: MORE, subjects: [more.>]}
`)
			plan := wantPlan(t, changed, js, test.planned, "create stream MORE")
			if err := plan.Apply(t.Context(), js, []string{"MORE"}); err == nil || !strings.Contains(err.Error(), test.why) {
				t.Fatalf("applied with %v", err)
			}
			if _, err := js.Stream(t.Context(), "MORE"); err == nil {
				t.Error("half of it was done")
			}
			err := plan.Apply(t.Context(), js, []string{"THINGS"})
			if (err == nil) != test.allowed {
				t.Errorf("allowed by name: %v", err)
			}
		})
	}
}

func TestReplicasThatNobodyAskedForStay(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, strings.Replace(said, "storage: file", "storage: file\n    num_replicas: 1", 1))
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	plan, err := c.Plan(t.Context(), js, 3)
	if err != nil || len(plan.Changes) != 1 || plan.Changes[0].Fields[0].Field != "num_replicas" {
		t.Errorf("asked for three: %+v, %v", plan, err)
	}
	three := parse(t, strings.Replace(said, "storage: file", "storage: file\n    num_replicas: 3", 1))
	wantPlan(t, three, js) // what streams.yaml says is for streams that are not there yet
}

func TestCheckWantsTheStreamsToBeThere(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, said)
	if _, err := c.Check(t.Context(), js, []string{"THINGS"}); !errors.Is(err, streams.ErrMissing) || !strings.Contains(err.Error(), "THINGS") {
		t.Errorf("got %v", err)
	}
	if _, err := js.Stream(t.Context(), "THINGS"); err == nil {
		t.Error("checking made it")
	}
}

func TestAPlanIsJSON(t *testing.T) {
	js := kittest.New(t).JS
	plan, err := parse(t, said).Plan(t.Context(), js, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(plan)
	if want := `{"changes":[{"action":"create","stream":"THINGS"},{"action":"create","stream":"THINGS","consumer":"things-reader"}],"as_said":0,"foreign":["DEADLETTERS","TIMERS","TOYS"]}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v", data, err)
	}
}

// TestALimitThatDiscardsWhatIsNewLosesNothing bounds a stream that already holds more.
func TestALimitThatDiscardsWhatIsNewLosesNothing(t *testing.T) {
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
		t.Errorf("%d of 20 are left, %v", stream.CachedInfo().State.Msgs, err)
	}
	if _, err := log.JS.Publish(t.Context(), "things.one", nil); !eventlog.IsFull(err) {
		t.Errorf("one more was taken: %v", err)
	}
}
