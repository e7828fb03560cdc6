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

// rebuild asks for a rebuild and returns what the replica says until it is over.
func (w *world) rebuild(body string) (said []service.RebuildStatus) {
	w.t.Helper()
	inbox := w.log.Conn.NewRespInbox()
	sub, err := w.log.Conn.SubscribeSync(inbox)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.log.Conn.PublishRequest("rebuild.counters", inbox, []byte(body)); err != nil {
		w.t.Fatal(err)
	}
	for {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			w.t.Fatal(err)
		}
		var r service.RebuildStatus
		if err := json.Unmarshal(m.Data, &r); err != nil {
			w.t.Fatalf("%v in %q", err, m.Data)
		}
		if said = append(said, r); r.Status != service.RebuildRunning {
			return said
		}
	}
}

// health is what the one replica says that is there.
func (w *world) health() []bus.Health {
	ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
	defer cancel()
	return w.Health(ctx, "counters")
}

func TestARebuildIsAskedForAndToldOf(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.log.Add("x-1", 2)
	w.awaitTotal("x-1", 2)
	for body, want := range map[string]string{
		``:                  "done totals 1",
		`{}`:                "done totals 1",
		`{"view":"totals"}`: "done totals 1",
		`{"view":"tales"}`:  "unknown tales 0",
		`garbage`:           "unknown  0",
	} {
		said := w.rebuild(body)
		last := said[len(said)-1]
		if got := fmt.Sprint(last.Status, " ", last.View, " ", last.Events); got != want || last.Service != "counters" || last.Replica != "a" {
			t.Errorf("%s: %+v, want %q", body, last, want)
		}
		if last.Status == service.RebuildDone && (len(said) < 2 || last.Bytes == 0) {
			t.Errorf("%s: said %+v", body, said)
		}
	}
	w.awaitTotal("x-1", 2)
}

func TestAViewThatIsGoneIsNotReadyUntilItIsBuilt(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.log.Add("x-1", 2)
	w.awaitTotal("x-1", 2)
	stop()
	files, err := filepath.Glob(filepath.Join(w.dir, "counters", "a", "totals-*.db"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	w.gate.Lock()
	open := sync.OnceFunc(w.gate.Unlock)
	defer open()
	w.begin(w.counters())
	w.eventually(func() error {
		all := w.health()
		if len(all) != 1 || all[0].Ready || !all[0].Views[0].Rebuilding || all[0].Views[0].Failed != "" {
			return fmt.Errorf("health %+v", all)
		}
		return nil
	})
	if _, err := w.Query(t.Context(), total{"x-1"}, eventlog.Envelope{}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("asked of nothing: %v", err)
	}
	if _, err := w.Send(t.Context(), add{"x-1", 3}, eventlog.Envelope{}); err != nil {
		t.Errorf("a decision needs no view: %v", err)
	}
	open()
	w.awaitTotal("x-1", 5)
	w.eventually(func() error {
		if all := w.health(); len(all) != 1 || !all[0].Ready {
			return fmt.Errorf("health %+v", all)
		}
		return nil
	})
}
