package service

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/projection"
)

// Rebuild asks every replica of a service, on rebuild.<service>, to make the
// rows of its views anew out of the whole log. The old rows answer meanwhile.
type Rebuild struct {
	View string `json:"view"` // "" for all
}

// RebuildStatus is what a replica says of it: for each view that is meant, that it
// has begun, every second that it goes on, and how it ended. Of a view that it
// has not, it says so at once.
type RebuildStatus struct {
	Service string  `json:"service"`
	Replica string  `json:"replica"`
	View    string  `json:"view"`
	Status  string  `json:"status"` // one of those below
	Events  uint64  `json:"facts"`  // that the new rows are made of so far
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes,omitempty"` // of the new file
	Reason  string  `json:"reason,omitempty"`
}

// The statuses of a Rebuilding.
const (
	RebuildRunning = "building"
	RebuildDone    = "done"
	RebuildFailed  = "failed"
	RebuildUnknown = "unknown"
)

// rebuildBeat is how often a replica tells that it is still building.
const rebuildBeat = time.Second

func (s *Service) rebuild(ctx context.Context, d *deps, m *nats.Msg) {
	var asked Rebuild
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &asked); err != nil {
			d.say(m, RebuildStatus{Status: RebuildUnknown, Reason: "the request cannot be read"})
			return
		}
	}
	views := slices.DeleteFunc(slices.Clone(s.Views), func(v *projection.View) bool { return asked.View != "" && v.Name() != asked.View })
	if len(views) == 0 {
		d.say(m, RebuildStatus{View: asked.View, Status: RebuildUnknown, Reason: "there is no such view"})
		return
	}
	var building sync.WaitGroup
	for _, v := range views {
		building.Go(func() { d.rebuildView(ctx, m, v) })
	}
	building.Wait()
}

func (d *deps) rebuildView(ctx context.Context, m *nats.Msg, v *projection.View) {
	began, over := time.Now(), make(chan error, 1)
	go func() { over <- v.Rebuild(ctx) }()
	beat := time.NewTicker(rebuildBeat)
	defer beat.Stop()
	for {
		facts, _ := v.Building()
		now := RebuildStatus{View: v.Name(), Status: RebuildRunning, Events: facts, Seconds: time.Since(began).Seconds()}
		d.say(m, now)
		select {
		case err := <-over:
			built := v.LastBuild()
			now.Status, now.Events, now.Seconds, now.Bytes = RebuildDone, built.Events, built.Duration.Seconds(), built.Bytes
			if errors.Is(err, context.Canceled) {
				err = errors.New("the service is stopping")
			}
			if err != nil {
				now = RebuildStatus{View: v.Name(), Status: RebuildFailed, Reason: err.Error(), Seconds: time.Since(began).Seconds()}
			}
			d.say(m, now)
			return
		case <-beat.C:
		}
	}
}

func (d *deps) say(m *nats.Msg, r RebuildStatus) {
	r.Service, r.Replica = d.service.Name, d.Replica
	body, _ := json.Marshal(r)
	if err := m.Respond(body); err != nil && !errors.Is(err, nats.ErrMsgNoReply) {
		d.Logger.Warn("an answer could not be sent", "error", err)
	}
}
