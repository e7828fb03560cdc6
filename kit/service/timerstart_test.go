package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// over is how many events were due, and are over, while the service was away.
const over = 3000

// addMany records events of the counters that name returns, without waiting for each.
func (f *fixture) addMany(n int, name func(i int) string) {
	f.t.Helper()
	for i := range n {
		id, counter := eventlog.NewID(), name(i)
		header := eventlog.Envelope{ID: id, Type: kittest.Codec.Type(kittest.Added{}), Causation: "test-" + id, Time: time.Now()}.Header()
		if _, err := f.log.JS.PublishMsgAsync(&nats.Msg{Subject: "events.counter." + counter + ".added", Header: header,
			Data: fmt.Appendf(nil, `{"counter":%q,"by":1}`, counter)}); err != nil {
			f.t.Fatal(err)
		}
		if i%1000 == 999 {
			<-f.log.JS.PublishAsyncComplete()
		}
	}
	<-f.log.JS.PublishAsyncComplete()
}

// slowly lets the view of alarms take a few events at a time, so that a clock has time for many
// looks in between.
func (a *alarms) slowly(t *testing.T, events int) {
	a.gate = make(chan struct{}, 100)
	tick := time.NewTicker(10 * time.Millisecond)
	t.Cleanup(tick.Stop)
	go func() {
		for range events / 50 {
			select {
			case <-tick.C:
			case <-t.Context().Done():
			}
			for range 50 {
				a.gate <- struct{}{}
			}
		}
		close(a.gate)
	}()
}

// Rows that are missing or far behind say of everything that is over that it is due.
func TestTimer_DoesNotTryWhatIsOverAfterAStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool // the view has rows of the time before
	}{{"view removed", false}, {"view behind", true}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if c.before {
				stop := f.run(newAlarms().Service)
				f.log.Add("far", 3_600_000)
				f.awaitRecorded("far")
				stop()
			}
			f.addMany(over, func(i int) string { return fmt.Sprint("x", i) })
			f.addMany(over, func(i int) string { return fmt.Sprint("later-x", i) })
			a := newAlarms()
			a.slowly(t, 2*over)
			f.run(a.Service)
			f.log.Add("fresh", 1)
			f.awaitRecorded("later-fresh")
			if n := a.handled.Load(); n != 1 {
				t.Errorf("one event was due, and %d were decided", n)
			}
		})
	}
}
