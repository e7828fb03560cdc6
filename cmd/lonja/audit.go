package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/audit"
	"lonja/kit/service"
	"lonja/shop"
)

type auditCommand struct {
	connection
	Data    string `help:"Folder of the views to compare with the log; empty compares none." default:"data" type:"path"`
	JSON    bool   `name:"json" help:"Print the whole report as JSON, for machines."`
	Settled bool   `help:"Nothing may be under way: every reaction has run, no view is behind."`
}

// Run prints each violation in a line of its own as it is found, then a
// summary. That there are any is an error.
func (c *auditCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja audit", func(js jetstream.JetStream) error {
		report, err := audit.Run(ctx, audit.Config{JetStream: js, Language: language, Streams: config,
			Services: freshServices(), Dir: c.Data, Settled: c.Settled, Tell: c.tell})
		if err != nil {
			return fmt.Errorf("the audit could not be finished: %w", err)
		}
		write := report.WriteSummary
		if c.JSON {
			write = report.WriteJSON
		}
		if err := write(os.Stdout); err != nil {
			return err
		}
		if n := report.Total(); n > 0 {
			return fmt.Errorf("%d violations", n)
		}
		return nil
	})
}

func (c *auditCommand) tell(v audit.Violation) {
	if !c.JSON {
		fmt.Println(v)
	}
}

// freshServices are all services, not running: whoever wants their views only.
func freshServices() []*service.Service { return shop.All(shopRules{}.config()) }
