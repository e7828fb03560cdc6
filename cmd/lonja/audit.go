package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/audit"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/service"
	"lonja/shop"
)

type auditCommand struct {
	connection
	Data    string `help:"Folder of the views to compare with the log; \"\" compares none." default:"data" type:"path"`
	KEKFile string `name:"kek-file" help:"File of key-encryption keys, to compare the views that hold personal data too. Default: DATA/kek, if there is one." type:"path"`
	JSON    bool   `name:"json" help:"Print the whole report as JSON."`
	Settled bool   `help:"Also report work that is under way: reactions that have not run, views that are behind."`
	Save    string `placeholder:"FILE" help:"Write what the audit knows in the end to this file, for --since, if the log has no violation. It takes about 100 bytes an order and 18 an event, and holds no personal data." type:"path"`
	Since   string `placeholder:"FILE" help:"Go on from an earlier audit's file and read only what came after. It finds what an audit from the beginning finds, provided that nothing that was recorded before has changed: of that, only each stream's age, its completeness as the server counts it, and the message at which the earlier audit ended are checked. So audit from the beginning now and then, above all after a restore or a disk's failure. A file of another log or version, or a damaged one, is refused. FILE may be that of --save. Views are always compared as a whole." type:"path"`
}

// Help is shown below the flags.
func (auditCommand) Help() string {
	return "The audit reads the log and, with --data, compares the views. It only reads, and the shop may run. On a terminal it shows its progress. It needs about 100 bytes an event in the folder for temporary files (TMPDIR), or in memory if it cannot write there."
}

// Run prints each violation on a line of its own as it is found, and then a
// summary. It returns an error if there are any.
func (c *auditCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	return c.withJetStream(ctx, "lonja audit", func(js jetstream.JetStream) error {
		keys, err := c.keys(js)
		if err != nil {
			return err
		}
		since, err := c.since()
		if err != nil {
			return err
		}
		bar := newProgressBar(os.Stderr)
		report, err := audit.Run(ctx, audit.Config{JetStream: js, Codec: eventCodec, Streams: config,
			Services: newServices(), Dir: c.Data, Keys: keys, Settled: c.Settled, Since: since, Save: c.Save,
			OnViolation: func(v audit.Violation) { bar.hide(); c.printViolation(v) }, OnProgress: bar.show})
		bar.hide()
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
			if c.Save != "" && !report.Saved {
				return fmt.Errorf("%d violations; --save has written nothing", n)
			}
			return fmt.Errorf("%d violations", n)
		}
		return nil
	})
}

// since loads the earlier audit's file, nil if there is none.
func (c *auditCommand) since() (*audit.State, error) {
	if c.Since == "" {
		return nil, nil
	}
	state, err := audit.LoadState(c.Since)
	if err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	return state, nil
}

// keys returns the keys of personal data, nil if there is no file of key-encryption keys.
func (c *auditCommand) keys(js jetstream.JetStream) (eventlog.KeyRing, error) {
	file := c.KEKFile
	if file == "" {
		file = filepath.Join(c.Data, "kek")
		if _, err := os.Stat(file); c.Data == "" || errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	keks, err := loadKEKs(file)
	if err != nil {
		return nil, err
	}
	return keyring.New(js, keks), nil
}

func (c *auditCommand) printViolation(v audit.Violation) {
	if !c.JSON {
		fmt.Println(v)
	}
}

// newServices returns all services, not running, for their views.
func newServices() []*service.Service { return shop.All(shopRules{}.config()) }
