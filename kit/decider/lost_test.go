package decider_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// replica is another process: it knows only what it reads itself.
func replica(log *kittest.Log) (*eventlog.Log, *decider.Decider[int]) {
	own, d := eventlog.New(log.JS, kittest.Codec), decider.New(counterKind)
	d.Bind(own, decider.Config{})
	return own, d
}

// replace puts an empty stream in the place of the one that is there.
func replace(t *testing.T, log *kittest.Log) {
	t.Helper()
	stream, err := log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.JS.DeleteStream(t.Context(), kittest.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := log.JS.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsAcknowledgedOnALogThatWasReplaced(t *testing.T) {
	log := kittest.New(t)
	_, here := replica(log)
	other, there := replica(log)
	for i := range 3 {
		if _, err := here.Decide(t.Context(), wish(fmt.Sprintf("w%d", i), "old"), add(1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.At(t.Context(), kittest.Stream, 3); err != nil { // as its views would
		t.Fatal(err)
	}
	replace(t, log)

	if r, err := there.Decide(t.Context(), wish("w8", "old"), add(limit+1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("refused for good on a log that says nothing: %+v, %v", r, err)
	} else if strings.Contains(err.Error(), "restore") || other.Lost() != nil {
		t.Errorf("who says less than is known may be behind, but is taken for one that lost it: %v", err)
	}
	for range 2 { // the second time it stands in the false log already
		if r, err := here.Decide(t.Context(), wish("w9", "new"), add(1), nil); !errs.Is(err, errs.Unavailable) {
			t.Errorf("acknowledged: %+v, %v", r, err)
		}
	}
	if r, err := there.Decide(t.Context(), wish("w9", "new"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("another process finds it there, and acknowledges: %+v, %v", r, err)
	}
	if r, err := there.Decide(t.Context(), wish("w10", "newer"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("acknowledged: %+v, %v", r, err)
	}
	if r, err := here.Decide(t.Context(), wish("w11", "newest"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("acknowledged: %+v, %v", r, err)
	}
	if err := other.Lost(); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("an append landed where the log had been, and it says %v", err)
	}
	stream, err := log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if last := stream.CachedInfo().State.LastSeq; last != 2 { // one by each process, until it knew
		t.Errorf("the false log has grown to %d", last)
	}
}

// What is known of the log is only a lower bound: neither others who record at
// the same time, nor reading what is old, make it look shorter than it is.
func TestALogThatOnlyGrowsIsNeverTakenForAnother(t *testing.T) {
	log := kittest.New(t)
	var recording sync.WaitGroup
	for range 2 {
		own, d := replica(log)
		for i := range 8 {
			recording.Go(func() {
				for n := range 20 {
					counter := fmt.Sprintf("c%d", (i+n)%10)
					_, err := d.Decide(t.Context(), wish(fmt.Sprintf("%p-%d-%d", own, i, n), counter), add(-1-n), nil)
					if err == nil {
						_, err = own.At(t.Context(), kittest.Stream, 1)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	recording.Wait()
}

func TestTheMessageAtASequence(t *testing.T) {
	log := kittest.New(t)
	seq := log.Add("c", 4)
	at, err := log.At(t.Context(), kittest.Stream, seq)
	if err != nil || at.Event != (kittest.Added{Counter: "c", By: 4}) || at.ID == "" || at.Subject != "events.counter.c.added" {
		t.Errorf("%+v, %v", at, err)
	}
	bare := log.Poison("events.counter.c.added", "{}") // without any header
	if at, err := log.At(t.Context(), kittest.Stream, bare); err != nil || at.Err == nil || string(at.Data) != "{}" {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := log.At(t.Context(), kittest.Stream, bare+1); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("got %v", err)
	}
}
