package streams_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
	"lonja/kit/natsauth"
	"lonja/kit/streams"
)

// partitioned declares one stream that may have partitions, and one that may not.
const partitioned = `
streams:
  - name: ORDERS
    subjects: [events.order.>]
    storage: file
    num_replicas: 1
    consumers:
      - {durable_name: stock-on-orders, filter_subjects: [events.order.*.placed], ack_policy: explicit}
  - name: SECRETS
    metadata: {private: identity}
    subjects: [events.secret.>]
    storage: file
    num_replicas: 1
`

// grow gives streams partitions, and returns what every plan is made from afterwards.
func grow(t *testing.T, c *streams.Config, js jetstream.JetStream, wanted map[string]int) *streams.Config {
	t.Helper()
	grown, err := c.Grow(t.Context(), js, wanted)
	if err != nil {
		t.Fatal(err)
	}
	if err := grown.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	return grown
}

func TestGrow_AddsPartitionsThatBeginAfterAllSequences(t *testing.T) {
	log, c := kittest.New(t), parse(t, partitioned)
	if err := c.Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		log.Poison("events.order.ord_1.placed", "{}")
	}
	two, err := c.Grow(t.Context(), log.JS, map[string]int{"ORDERS": 2})
	if err != nil {
		t.Fatal(err)
	}
	plan := wantPlan(t, two, log.JS, "update stream ORDERS partitions", "create stream ORDERS-1", "create consumer stock-on-orders on ORDERS-1")
	if err := plan.Apply(t.Context(), log.JS, nil); err != nil {
		t.Fatal(err)
	}
	wantPlan(t, two, log.JS)
	wantPlan(t, c, log.JS) // the file alone leaves partitions as they are
	for range 4 {
		if seq := log.Poison("events.order-1.ord_2.placed", "{}"); seq < 4 {
			t.Errorf("ORDERS-1 stores at %d", seq)
		}
	}
	three := grow(t, c, log.JS, map[string]int{"ORDERS": 3})
	if seq := log.Poison("events.order-2.ord_3.placed", "{}"); seq != 8 {
		t.Errorf("ORDERS-2 begins at %d, not 8", seq)
	}
	cons, err := three.EnsureOn(t.Context(), log.JS, "ORDERS-2", "stock-on-orders")
	if err != nil {
		t.Fatal(err)
	}
	if info := cons.CachedInfo(); info.NumPending != 1 || info.Config.FilterSubject != "events.order-2.*.placed" && !slices.Equal(info.Config.FilterSubjects, []string{"events.order-2.*.placed"}) {
		t.Errorf("the consumer on ORDERS-2: %+v", info)
	}
	if got := three.StreamsOf("stock-on-orders"); !slices.Equal(got, []string{"ORDERS", "ORDERS-1", "ORDERS-2"}) {
		t.Errorf("its streams are %v", got)
	}
	for _, config := range []*streams.Config{c, three} {
		if got := config.ConsumersOf("ORDERS-2", "events.order-2.ord_3.placed"); !slices.Equal(got, []string{"stock-on-orders"}) {
			t.Errorf("it is delivered to %v", got)
		}
	}
	present, err := c.Present(t.Context(), log.JS)
	if err != nil || !slices.Equal(present.Layout["ORDERS"], []streams.Count{{Partitions: 1, From: 1}, {Partitions: 2, From: 4}, {Partitions: 3, From: 8}}) {
		t.Errorf("the layout is %v, %v", present.Layout, err)
	}
}

func TestGrow_FromTheBeginningIsNoGrowth(t *testing.T) {
	log, c := kittest.New(t), parse(t, partitioned)
	two := grow(t, c, log.JS, map[string]int{"ORDERS": 2})
	if got := two.Layout["ORDERS"]; !slices.Equal(got, []streams.Count{{Partitions: 2, From: 1}}) {
		t.Errorf("the counts are %v", got)
	}
	again := grow(t, c, log.JS, map[string]int{"ORDERS": 2})
	wantPlan(t, again, log.JS)
}

func TestGrow_RefusesWhatCannotBe(t *testing.T) {
	log, c := kittest.New(t), parse(t, partitioned)
	grow(t, c, log.JS, map[string]int{"ORDERS": 2})
	for want, wanted := range map[string]map[string]int{
		"can only grow":     {"ORDERS": 1},
		"1 to 16":           {"ORDERS": 17},
		"are not private":   {"SECRETS": 2},
		`"ORDERS-1" is not`: {"ORDERS-1": 2},
	} {
		if _, err := c.Grow(t.Context(), log.JS, wanted); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", wanted, err, want)
		}
	}
}

func TestGrow_RefusesWhileAServiceRuns(t *testing.T) {
	log, c := kittest.New(t), parse(t, partitioned)
	two := grow(t, c, log.JS, map[string]int{"ORDERS": 2})
	cons, err := two.EnsureOn(t.Context(), log.JS, "ORDERS-1", "stock-on-orders")
	if err != nil {
		t.Fatal(err)
	}
	service, err := cons.Consume(func(jetstream.Msg) {}, jetstream.PullExpiry(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	try := func(refused bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; {
			_, err := c.Grow(t.Context(), log.JS, map[string]int{"ORDERS": 3})
			if refused == (err != nil && strings.Contains(err.Error(), "service stock is running (consumer stock-on-orders")) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("refused should be %t: %v", refused, err)
			}
		}
	}
	try(true)
	service.Stop()
	<-service.Closed()
	if _, err := c.Grow(t.Context(), log.JS, map[string]int{"ORDERS": 2}); err != nil {
		t.Errorf("the same number: %v", err)
	}
	try(false)
}

func TestConfig_PermissionsReachThePartitionsAndNothingElse(t *testing.T) {
	config, err := parse(t, partitioned).WithWanted(map[string]int{"ORDERS": 2})
	if err != nil {
		t.Fatal(err)
	}
	p := natsauth.AllowStreamInfo("ORDERS")
	p.Add(natsauth.AllowStreamInfo("SECRETS"), natsauth.AllowPublish("events.order.*.*", "events.secret.*.*", "deadletters.a.ORDERS.*", "commands.order.x"))
	got := config.Permissions(p)
	want := append(p.Publish, "$JS.API.STREAM.INFO.ORDERS-1", "events.order-1.*.*", "deadletters.a.ORDERS-1.*")
	if !slices.Equal(got.Publish, want) {
		t.Errorf("got %v\nwant %v", got.Publish, want)
	}
}
