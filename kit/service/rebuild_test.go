package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

// rebuild asks for a rebuild and returns the statuses until it has ended.
func (f *fixture) rebuild(body string) (said []service.RebuildStatus) {
	f.t.Helper()
	inbox := f.log.Conn.NewRespInbox()
	sub, err := f.log.Conn.SubscribeSync(inbox)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.log.Conn.PublishRequest("rebuild.counters", inbox, []byte(body)); err != nil {
		f.t.Fatal(err)
	}
	for {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			f.t.Fatal(err)
		}
		var r service.RebuildStatus
		if err := json.Unmarshal(m.Data, &r); err != nil {
			f.t.Fatalf("%v in %q", err, m.Data)
		}
		if said = append(said, r); r.Status != service.RebuildRunning {
			return said
		}
	}
}

// health is the answer of the one replica.
func (f *fixture) health() []bus.Health {
	ctx, cancel := context.WithTimeout(f.t.Context(), 100*time.Millisecond)
	defer cancel()
	return f.Health(ctx, "counters")
}

func TestRebuild_ReportsItsProgressAndEnd(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.log.Add("x-1", 2)
	f.awaitTotal("x-1", 2)
	for body, want := range map[string]string{
		``:                  "done totals 1",
		`{}`:                "done totals 1",
		`{"view":"totals"}`: "done totals 1",
		`{"view":"tales"}`:  "unknown tales 0",
		`garbage`:           "unknown  0",
	} {
		said := f.rebuild(body)
		last := said[len(said)-1]
		if got := fmt.Sprint(last.Status, " ", last.View, " ", last.Events); got != want || last.Service != "counters" || last.Replica != "a" {
			t.Errorf("%s: %+v, want %q", body, last, want)
		}
		if last.Status == service.RebuildDone && (len(said) < 2 || last.Bytes == 0) {
			t.Errorf("%s: said %+v", body, said)
		}
	}
	f.awaitTotal("x-1", 2)
}

func TestHealth_IsNotReadyUntilALostViewIsRebuilt(t *testing.T) {
	f := newFixture(t)
	stop := f.start()
	f.log.Add("x-1", 2)
	f.awaitTotal("x-1", 2)
	stop()
	files, err := filepath.Glob(filepath.Join(f.dir, "counters", "a", "totals-*.db"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	f.gate.Lock()
	open := sync.OnceFunc(f.gate.Unlock)
	defer open()
	f.begin(f.counters())
	f.eventually(func() error {
		all := f.health()
		if len(all) != 1 || all[0].Ready || !all[0].Views[0].Rebuilding || all[0].Views[0].Failed != "" {
			return fmt.Errorf("health %+v", all)
		}
		return nil
	})
	if _, err := f.Query(t.Context(), total{"x-1"}, eventlog.Envelope{}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("asked of nothing: %v", err)
	}
	if _, err := f.Send(t.Context(), add{"x-1", 3}, eventlog.Envelope{}); err != nil {
		t.Errorf("a decision needs no view: %v", err)
	}
	open()
	f.awaitTotal("x-1", 5)
	f.eventually(func() error {
		if all := f.health(); len(all) != 1 || !all[0].Ready {
			return fmt.Errorf("health %+v", all)
		}
		return nil
	})
}
