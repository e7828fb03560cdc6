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
	Service string `arg:"" help:"Whose views: ${services}."`
	View    string `arg:"" optional:"" help:"Which view; all of them when it is left out."`
}

const (
	// gathering is how long replicas have to answer after one did.
	gathering = time.Second
	// rebuildSilence is how long a replica that is building may say nothing: it
	// should tell every second.
	rebuildSilence = 15 * time.Second
)

// Run asks every replica and waits until all of them are done.
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

// follow prints what the replicas say until nothing is under way any more.
func (c *rebuildCommand) follow(ctx context.Context, answers *nats.Subscription) error {
	last := map[string]service.RebuildStatus{} // by replica and view
	for {
		patience := gathering
		if underway(last) != "" {
			patience = rebuildSilence
		}
		waiting, cancel := context.WithTimeout(ctx, patience)
		m, err := answers.NextMsgWithContext(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return errors.New("no longer waiting; what has begun goes on")
		case errors.Is(err, context.DeadlineExceeded):
			return c.verdict(last)
		case err != nil && !errors.Is(err, nats.ErrNoResponders):
			return err
		case err != nil, m.Header.Get("Status") == "503":
			return c.nobody()
		case m.Subject != answers.Subject:
			continue // a stored message that somebody has delivered here
		}
		var r service.RebuildStatus
		if err := json.Unmarshal(m.Data, &r); err != nil || r.Replica == "" {
			return fmt.Errorf("an answer that makes no sense: %.100q", m.Data)
		}
		last[r.Replica+" "+r.View] = r
		fmt.Println(told(r))
	}
}

// underway names what has begun and is not over, "" when there is nothing.
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
		return c.nobody()
	}
	if name := underway(last); name != "" {
		return fmt.Errorf("replica and view %s: nothing was heard for %v; look into the log of the service", name, rebuildSilence)
	}
	bad := 0
	for _, r := range last {
		if r.Status != service.RebuildDone {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d were not rebuilt; the old rows go on answering where there are any", bad, len(last))
	}
	return nil
}

func (c *rebuildCommand) nobody() error {
	return fmt.Errorf("no replica of %s answers at %s; start one (lonja service %s --nats %s), or, if it cannot start, delete its files in DATA/%s/REPLICA, which makes it build them anew",
		c.Service, c.where(), c.Service, c.where(), c.Service)
}

// told is an answer as a line for people.
func told(r service.RebuildStatus) string {
	who := fmt.Sprintf("%s replica %s, view %s:", r.Service, r.Replica, r.View)
	switch r.Status {
	case service.RebuildRunning:
		return fmt.Sprintf("%s building, %d facts after %.0f s", who, r.Events, r.Seconds)
	case service.RebuildDone:
		return fmt.Sprintf("%s done, %d facts in %.2f s (%.0f/s), %.1f MB", who, r.Events, r.Seconds,
			float64(r.Events)/max(r.Seconds, 0.001), float64(r.Bytes)/1e6)
	}
	return fmt.Sprintf("%s %s, %s", who, r.Status, r.Reason)
}
