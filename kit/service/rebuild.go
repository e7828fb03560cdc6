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

// RebuildRequest asks every replica of a service, on rebuild.<service>, to build its views
// from the log again. The present rows answer queries meanwhile.
type RebuildRequest struct {
	View string `json:"view"` // "" for all
}

// RebuildStatus is what a replica answers to a RebuildRequest, several times for each view:
// when it has begun, every second while it builds, and when it has ended. For a view that it
// does not have, it answers RebuildUnknown at once.
type RebuildStatus struct {
	Service string  `json:"service"`
	Replica string  `json:"replica"`
	View    string  `json:"view"`
	Status  string  `json:"status"` // one of the constants below
	Events  uint64  `json:"facts"`  // that the new rows contain so far
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes,omitempty"`  // of the new file, once it is done
	Reason  string  `json:"reason,omitempty"` // why it failed or is unknown
}

// The statuses of a rebuild.
const (
	RebuildRunning = "building"
	RebuildDone    = "done"
	RebuildFailed  = "failed"
	RebuildUnknown = "unknown"
)

// statusInterval is the time between two statuses of a view that is being built.
const statusInterval = time.Second

// rebuild answers a RebuildRequest. It returns when every build has ended.
func (s *Service) rebuild(ctx context.Context, d *deps, m *nats.Msg) {
	var req RebuildRequest
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &req); err != nil {
			d.sendStatus(m, RebuildStatus{Status: RebuildUnknown, Reason: "the request cannot be read"})
			return
		}
	}
	views := slices.DeleteFunc(slices.Clone(s.Views), func(v *projection.View) bool { return req.View != "" && v.Name() != req.View })
	if len(views) == 0 {
		d.sendStatus(m, RebuildStatus{View: req.View, Status: RebuildUnknown, Reason: "there is no such view"})
		return
	}
	var building sync.WaitGroup
	for _, v := range views {
		building.Go(func() { d.rebuildView(ctx, m, v) })
	}
	building.Wait()
}

// rebuildView builds one view again and reports the progress.
func (d *deps) rebuildView(ctx context.Context, m *nats.Msg, v *projection.View) {
	began, result := time.Now(), make(chan error, 1)
	go func() { result <- v.Rebuild(ctx) }()
	tick := time.NewTicker(statusInterval)
	defer tick.Stop()
	for {
		events, _ := v.Building()
		status := RebuildStatus{View: v.Name(), Status: RebuildRunning, Events: events, Seconds: time.Since(began).Seconds()}
		d.sendStatus(m, status)
		select {
		case err := <-result:
			built := v.LastBuild()
			status.Status, status.Events, status.Seconds, status.Bytes = RebuildDone, built.Events, built.Duration.Seconds(), built.Bytes
			if errors.Is(err, context.Canceled) {
				err = errors.New("the service is stopping")
			}
			if err != nil {
				status = RebuildStatus{View: v.Name(), Status: RebuildFailed, Reason: err.Error(), Seconds: time.Since(began).Seconds()}
			}
			d.sendStatus(m, status)
			return
		case <-tick.C:
		}
	}
}

func (d *deps) sendStatus(m *nats.Msg, r RebuildStatus) {
	r.Service, r.Replica = d.service.Name, d.Replica
	body, _ := json.Marshal(r)
	if err := m.Respond(body); err != nil && !errors.Is(err, nats.ErrMsgNoReply) {
		d.Logger.Warn("an answer could not be sent", "error", err)
	}
}
