package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

const claims = `
  - name: CLAIMS
    subjects: [claims.>]
    max_msgs_per_subject: 1
    allow_direct: true
`

// bank is something outside. For every counter "x", the service asks it for a number, and adds that to
// "done-x", or the number of tries to "failed-x".
type bank struct {
	mu     sync.Mutex
	calls  []service.Attempt
	number map[string]int // by key: the same key gets the same number
	answer func(ctx context.Context, a service.Attempt) error
	refuse func(s int) error // of the decision that records; nil refuses nothing
}

func (b *bank) ask(ctx context.Context, a service.Attempt, by int) (int, error) {
	b.mu.Lock()
	b.calls = append(b.calls, a)
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, a); err != nil {
			return 0, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.number == nil {
		b.number = map[string]int{}
	}
	b.number[a.Key] = by
	return by, nil
}

func (b *bank) asked() []service.Attempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// service returns a service with the effect, which change may change.
func (b *bank) service(change func(*service.Effect)) *service.Service {
	counters := newCounters()
	pending := projection.New(projection.Definition{
		Name:   "asking",
		Schema: `CREATE TABLE asking (counter TEXT PRIMARY KEY, due INTEGER NOT NULL, sequence INTEGER NOT NULL); CREATE INDEX due ON asking (due, sequence);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			counter := r.Event.(kittest.Added).Counter
			for _, prefix := range []string{"done-", "failed-"} {
				if of, is := strings.CutPrefix(counter, prefix); is {
					return tx.Exec(`DELETE FROM asking WHERE counter = ?`, of)
				}
			}
			return tx.Exec(`INSERT INTO asking VALUES (?, ?, ?)`, counter, r.Time.UnixMicro(), r.Sequence)
		},
	})
	effect := service.Effect{
		Name: "counters-bank", Stream: kittest.Stream, View: pending, Pause: time.Millisecond,
		Pending: `SELECT due, sequence FROM asking WHERE (due, sequence) > (?1, ?2) ORDER BY due, sequence LIMIT ?3`,
		Handlers: []service.Handler{service.Call(counters, func(e kittest.Added) string { return "done-" + e.Counter },
			func(_ int, e kittest.Added) (int, bool) { return e.By, e.By > 0 },
			b.ask,
			func(n int, e kittest.Added, o service.Outcome[int], m decider.Meta) (eventlog.Event, error) {
				if b.refuse != nil {
					if err := b.refuse(n); err != nil {
						return nil, err
					}
				}
				if o.Err != nil {
					return kittest.Added{Counter: m.EntityID, By: -o.Tries}, nil
				}
				return kittest.Added{Counter: m.EntityID, By: o.Result}, nil
			})},
	}
	if change != nil {
		change(&effect)
	}
	return &service.Service{Name: "counters", Views: []*projection.View{pending}, Effects: []service.Effect{effect}}
}

func TestEffect_CallsOnceAndRecordsWhatCameOfIt(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	for _, name := range []string{"a", "b", "c"} {
		f.runReplica(b.service(nil), name)
	}
	for n := range 20 {
		f.log.Add(fmt.Sprint("x", n), n+1)
	}
	f.log.Add("nothing", 0)
	for n := range 20 {
		if got := f.awaitRecorded(fmt.Sprint("done-x", n)); got.Event.(kittest.Added).By != n+1 {
			t.Errorf("x%d: recorded %+v", n, got.Event)
		}
	}
	for _, a := range b.asked() {
		if a.Number != 1 || a.Key == "" || time.Since(a.Due) > time.Minute {
			t.Errorf("called as %+v", a)
		}
	}
	if n := len(b.asked()); n != 20 {
		t.Errorf("20 events led to %d calls", n)
	}
	if n := len(f.recorded("done-nothing")); n != 0 {
		t.Errorf("without a plan, %d events were recorded", n)
	}
	f.awaitDeadLetters(0)
}

func TestEffect_IsTriedAgainUnderTheSameKey(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	b.answer = func(_ context.Context, a service.Attempt) error {
		if a.Number < 5 {
			return errors.New("the bank is closed")
		}
		return nil
	}
	for _, name := range []string{"a", "b"} {
		f.runReplica(b.service(nil), name)
	}
	f.log.Add("x", 7)
	f.awaitRecorded("done-x")
	calls := b.asked()
	for i, a := range calls {
		if a.Number != i+1 || a.Key != calls[0].Key || !a.Due.Equal(calls[0].Due) {
			t.Errorf("call %d was %+v, the first one %+v", i+1, a, calls[0])
		}
	}
	if len(calls) != 5 {
		t.Errorf("it took %d calls", len(calls))
	}
	if len(b.number) != 1 {
		t.Errorf("the bank has seen %d keys", len(b.number))
	}
	f.awaitDeadLetters(0)
}

func TestEffect_IsGivenUpVisibly(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*service.Effect)
		answer error
		tries  int // at least
	}{
		"permanent": {nil, service.Permanent(errors.New("no such account")), 1},
		"patience":  {func(e *service.Effect) { e.Patience = time.Second; e.Pause = 20 * time.Millisecond }, errors.New("the bank is closed"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newFixtureWith(t, claims), &bank{answer: func(context.Context, service.Attempt) error { return c.answer }}
			f.run(b.service(c.change))
			f.log.Add("x", 7)
			got := f.awaitRecorded("done-x").Event.(kittest.Added)
			if calls := len(b.asked()); got.By != -calls || calls < c.tries || name == "permanent" && calls != 1 {
				t.Errorf("after %d calls, recorded %+v", calls, got)
			}
		})
	}
}

// Before what the outside has said is over, nobody calls again.
func TestEffect_WaitsAsLongAsTheOutsideSays(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	const told = 700 * time.Millisecond
	var first, second time.Time
	b.answer = func(_ context.Context, a service.Attempt) error {
		if a.Number == 1 {
			first = time.Now()
			return service.RetryAfter(errors.New("too many requests"), told)
		}
		second = time.Now()
		return nil
	}
	f.run(b.service(nil))
	f.log.Add("x", 7)
	f.awaitRecorded("done-x")
	if waited := second.Sub(first); waited < told {
		t.Errorf("it called again after %v", waited)
	}
}

// A provider that hangs takes the places of its own effect and of nothing else.
func TestEffect_AHangingCallDelaysNobodyElse(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	hanging := make(chan struct{}, 16)
	b.answer = func(ctx context.Context, _ service.Attempt) error {
		hanging <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	s, free := b.service(func(e *service.Effect) { e.AtOnce = 2; e.Timeout = time.Minute }), &bank{}
	other := free.service(func(e *service.Effect) { e.Name = "counters-other"; e.AtOnce = 1 })
	s.Views, s.Effects = append(s.Views, other.Views...), append(s.Effects, other.Effects...)
	s.Views[1] = projection.New(projection.Definition{Name: "others", Schema: `CREATE TABLE others (counter TEXT);`,
		Reads: s.Views[0].Sources(), Project: func(*projection.Tx, eventlog.Record) error { return nil }})
	s.Effects[1].View = s.Views[0]
	f.run(s)
	for n := range 4 {
		f.log.Add(fmt.Sprint("x", n), 1)
	}
	<-hanging
	<-hanging
	for n := range 4 {
		f.awaitRecorded(fmt.Sprint("done-x", n)) // by the other effect
	}
	if n := len(b.asked()); n > 2 {
		t.Errorf("%d calls of an effect with two places hang", n)
	}
}

// When a replica dies in a call, its claim ends by itself, and another one goes on with the next try.
func TestEffect_AnotherReplicaGoesOnWhenOneHasDied(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	seq := f.log.Add("x", 7)
	dead := fmt.Sprintf(`{"owner":"counters-dead-1","until":%q,"tries":1}`, time.Now().Add(time.Second).Format(time.RFC3339Nano))
	if _, err := f.log.JS.Publish(t.Context(), fmt.Sprintf("claims.counters-bank.%d", seq), []byte(dead)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.run(b.service(nil))
	f.awaitRecorded("done-x")
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("it did not wait for the claim's end, but went on after %v", took)
	}
	if calls := b.asked(); len(calls) != 1 || calls[0].Number != 2 {
		t.Errorf("called %+v", calls)
	}
}

// A replica that stops hands its call over: another one makes it at once.
func TestEffect_AReplicaThatStopsHandsItsCallOver(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	begun := make(chan struct{}, 1)
	b.answer = func(ctx context.Context, a service.Attempt) error {
		if a.Number > 1 {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	slow := func(e *service.Effect) { e.Timeout = time.Hour }
	stop := f.run(b.service(slow))
	f.log.Add("x", 7)
	<-begun
	stop()
	f.runReplica(b.service(slow), "b")
	f.awaitRecorded("done-x")
	if calls := b.asked(); len(calls) != 2 || calls[0].Key != calls[1].Key {
		t.Errorf("called %+v", calls)
	}
}

// What came of a call is recorded once, also when the log takes it only at the third try. The
// bank is asked again then, under the same key and number.
func TestEffect_RecordsOnceWhatTheLogDidNotTakeAtFirst(t *testing.T) {
	f, b := newFixtureWith(t, claims), &bank{}
	refused := 0
	b.refuse = func(int) error {
		if refused++; refused < 3 {
			return errs.New(errs.Unavailable, "not now")
		}
		return nil
	}
	f.run(b.service(nil))
	f.log.Add("x", 7)
	f.awaitRecorded("done-x")
	calls := b.asked()
	for _, a := range calls {
		if a.Number != 1 || a.Key != calls[0].Key {
			t.Errorf("called %+v", calls)
		}
	}
	if len(calls) < 2 || len(b.number) != 1 {
		t.Errorf("%d calls with %d keys", len(calls), len(b.number))
	}
	f.awaitDeadLetters(0)
}

func TestEffect_IsDeclaredCompletely(t *testing.T) {
	for name, c := range map[string]struct {
		streams string
		change  func(*service.Effect)
		want    string
	}{
		"without the stream of claims": {"", nil, "CLAIMS"},
		"without rows":                 {claims, func(e *service.Effect) { e.Pending = "" }, "Pending"},
		"with another's view":          {claims, func(e *service.Effect) { e.View = (&bank{}).service(nil).Views[0] }, "Service.Views"},
		"with a reaction": {claims, func(e *service.Effect) {
			e.Handlers = newAlarms().Timers[0].Handlers
		}, "service.Call"},
	} {
		f, b := newFixtureWith(t, c.streams), &bank{}
		err := b.service(c.change).Run(t.Context(), service.Config{Application: "counters", Conn: f.log.Conn, Codec: f.codec, Streams: f.streams, Dir: t.TempDir()}, nil)
		if err == nil || !strings.Contains(err.Error(), "counters-bank") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
