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
	Data    string `help:"Folder of the views to compare with the log; \"\" compares none." default:"data" type:"path"`
	JSON    bool   `name:"json" help:"Print the whole report as JSON."`
	Settled bool   `help:"Also report work that is under way: reactions that have not run, views that are behind."`
}

// Run prints each violation on a line of its own as it is found, and then a
// summary. It returns an error if there are any.
func (c *auditCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja audit", func(js jetstream.JetStream) error {
		report, err := audit.Run(ctx, audit.Config{JetStream: js, Codec: eventCodec, Streams: config,
			Services: newServices(), Dir: c.Data, Settled: c.Settled, OnViolation: c.printViolation})
		if err != nil {
			return fmt.Errorf("the audit could not be completed: %w", err)
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

func (c *auditCommand) printViolation(v audit.Violation) {
	if !c.JSON {
		fmt.Println(v)
	}
}

// newServices returns all services, not running, for their views.
func newServices() []*service.Service { return shop.All(shopRules{}.config()) }
