package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/service"
)

type rebuildCommand struct {
	connection
	Service string `arg:"" help:"Service of the views: ${services}."`
	View    string `arg:"" optional:"" help:"Name of a view. Default: all of them."`
}

const (
	// gatherTimeout bounds the wait for another replica's answer.
	gatherTimeout = time.Second
	// progressTimeout bounds the wait for progress of a rebuild, which a replica
	// reports every second.
	progressTimeout = 15 * time.Second
)

// Run sends the request to every replica and waits until all are done.
func (c *rebuildCommand) Run(ctx context.Context) error {
	nc, err := c.connect("lonja rebuild")
	if err != nil {
		return err
	}
	defer nc.Close()
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	asked, err := json.Marshal(service.RebuildRequest{View: c.View})
	if err != nil {
		return err
	}
	if err := nc.PublishRequest("rebuild."+c.Service, inbox, asked); err != nil {
		return err
	}
	return c.follow(ctx, answers)
}

// follow prints the replicas' reports until no rebuild is under way.
func (c *rebuildCommand) follow(ctx context.Context, answers *nats.Subscription) error {
	last := map[string]service.RebuildStatus{} // by replica and view
	for {
		patience := gatherTimeout
		if underway(last) != "" {
			patience = progressTimeout
		}
		waiting, cancel := context.WithTimeout(ctx, patience)
		m, err := answers.NextMsgWithContext(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted: rebuilds that have started go on")
		case errors.Is(err, context.DeadlineExceeded):
			return c.verdict(last)
		case err != nil && !errors.Is(err, nats.ErrNoResponders):
			return err
		case err != nil, m.Header.Get("Status") == "503":
			return c.noReplica()
		case m.Subject != answers.Subject:
			continue // not a reply, but a stored message that was delivered here
		}
		var r service.RebuildStatus
		if err := json.Unmarshal(m.Data, &r); err != nil || r.Replica == "" {
			return fmt.Errorf("a replica sent an invalid answer: %.100q", m.Data)
		}
		last[r.Replica+" "+r.View] = r
		fmt.Println(statusLine(r))
	}
}

// underway returns the replica and view of a running rebuild, "" when there is none.
func underway(last map[string]service.RebuildStatus) string {
	for name, r := range last {
		if r.Status == service.RebuildRunning {
			return name
		}
	}
	return ""
}

func (c *rebuildCommand) verdict(last map[string]service.RebuildStatus) error {
	if len(last) == 0 {
		return c.noReplica()
	}
	if name := underway(last); name != "" {
		return fmt.Errorf("replica and view %s: no progress for %v: see the log of the service", name, progressTimeout)
	}
	bad := 0
	for _, r := range last {
		if r.Status != service.RebuildDone {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d views were not rebuilt; they keep their old rows, if they have any", bad, len(last))
	}
	return nil
}

func (c *rebuildCommand) noReplica() error {
	return fmt.Errorf("no replica of %s answers at %s: start one (lonja service %s --nats %s), or, if it cannot start, delete its files in DATA/%s/REPLICA, so that it rebuilds them",
		c.Service, c.redactedURLs(), c.Service, c.redactedURLs(), c.Service)
}

// statusLine formats a replica's report.
func statusLine(r service.RebuildStatus) string {
	view := fmt.Sprintf("%s replica %s, view %s:", r.Service, r.Replica, r.View)
	switch r.Status {
	case service.RebuildRunning:
		return fmt.Sprintf("%s building, %d events after %.0f s", view, r.Events, r.Seconds)
	case service.RebuildDone:
		return fmt.Sprintf("%s done, %d events in %.2f s (%.0f/s), %.1f MB", view, r.Events, r.Seconds,
			float64(r.Events)/max(r.Seconds, 0.001), float64(r.Bytes)/1e6)
	}
	return fmt.Sprintf("%s %s, %s", view, r.Status, r.Reason)
}
