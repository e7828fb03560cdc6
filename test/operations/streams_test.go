package operations

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/test/harness"
)

// TestStreams_OfAnOlderVersionAreBoundedWithoutLoss starts with side streams that
// hold messages and have no limits, as in older versions. REVOCATIONS and CLAIMS are left out:
// their limits are an age and one message for each subject. KEYS must keep everything.
func TestStreams_OfAnOlderVersionAreBoundedWithoutLoss(t *testing.T) {
	older, now := harness.Streams(t), harness.Streams(t)
	var side []string
	for i := range older.Streams {
		if s := &older.Streams[i]; !strings.HasPrefix(s.Subjects[0], "events.") && !slices.Contains([]string{"TIMERS", "REVOCATIONS", "CLAIMS", "KEYS"}, s.Name) {
			if s.MaxMsgs <= 0 || s.MaxBytes <= 0 || s.Discard != jetstream.DiscardNew {
				t.Errorf("stream %s is not bounded", s.Name)
			}
			s.MaxMsgs, s.MaxBytes, side = 0, 0, append(side, s.Name)
			if s.Name == "DEADLETTERS" {
				s.Discard = jetstream.DiscardOld
			}
		}
	}
	nc, err := nats.Connect(harness.StartNATS(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := older.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"deadletters.a-b.ORDERS.1", "retries.a.a-b.ORDERS.1", "deferred.orders.place.1"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := now.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	if plan, err := now.Plan(t.Context(), js, 0); err != nil || len(plan.Changes) > 0 {
		t.Errorf("still to do: %+v, %v", plan.Changes, err)
	}
	for _, name := range side {
		if s, err := js.Stream(t.Context(), name); err != nil || s.CachedInfo().State.Msgs != 1 {
			t.Errorf("stream %s has lost its message: %v", name, err)
		}
	}
	if len(side) != 3 {
		t.Errorf("side streams: %v", side)
	}
}
