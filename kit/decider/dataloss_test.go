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

// replica returns a decider as another process has it, with a log that knows only what it
// has read itself.
func replica(log *kittest.Log) (*eventlog.Log, *decider.Decider[int]) {
	own, d := eventlog.New(log.JS, kittest.Codec), decider.New(counterType)
	d.Bind(own, decider.Config{})
	return own, d
}

// replace replaces the stream by an empty one.
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

func TestDecider_AcknowledgesNothingOnAReplacedStream(t *testing.T) {
	log := kittest.New(t)
	_, here := replica(log)
	other, there := replica(log)
	for i := range 3 {
		if _, err := here.Decide(t.Context(), command(fmt.Sprintf("w%d", i), "old"), add(1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.At(t.Context(), kittest.Stream, 3); err != nil { // reads it, as its views would
		t.Fatal(err)
	}
	replace(t, log)

	if r, err := there.Decide(t.Context(), command("w8", "old"), add(limit+1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("rejected for good on a replaced stream: %+v, %v", r, err)
	} else if strings.Contains(err.Error(), "restore") || other.DataLoss() != nil {
		t.Errorf("data loss is reported for a server that may only be behind: %v", err)
	}
	for range 2 { // the second time, the event is in the new stream
		if r, err := here.Decide(t.Context(), command("w9", "new"), add(1), nil); !errs.Is(err, errs.Unavailable) {
			t.Errorf("acknowledged: %+v, %v", r, err)
		}
	}
	if r, err := there.Decide(t.Context(), command("w9", "new"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("acknowledged by another process, which finds the event: %+v, %v", r, err)
	}
	if r, err := there.Decide(t.Context(), command("w10", "newer"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("acknowledged: %+v, %v", r, err)
	}
	if r, err := here.Decide(t.Context(), command("w11", "newest"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("acknowledged: %+v, %v", r, err)
	}
	if err := other.DataLoss(); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("an append got a sequence below the known end, but the data loss is %v", err)
	}
	stream, err := log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if last := stream.CachedInfo().State.LastSeq; last != 2 { // one event of each process, which revealed the loss to it
		t.Errorf("the new stream ends at %d, want 2", last)
	}
}

// The known end of a stream is a lower bound. Neither concurrent appends nor reading old
// events make the stream appear to have lost some.
func TestLog_ReportsNoDataLossWhileTheStreamGrows(t *testing.T) {
	log := kittest.New(t)
	var appending sync.WaitGroup
	for range 2 {
		own, d := replica(log)
		for i := range 8 {
			appending.Go(func() {
				for n := range 20 {
					counter := fmt.Sprintf("c%d", (i+n)%10)
					_, err := d.Decide(t.Context(), command(fmt.Sprintf("%p-%d-%d", own, i, n), counter), add(-1-n), nil)
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
	appending.Wait()
}

func TestAt_ReturnsTheMessageDecodableOrNot(t *testing.T) {
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
