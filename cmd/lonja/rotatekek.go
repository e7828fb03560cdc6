package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/keyring"
)

type rotateKEKCommand struct {
	connection
	KEKFile string `name:"kek-file" help:"File of the key-encryption keys, of which the first wraps." type:"path" required:""`
	New     bool   `help:"First put a new key-encryption key into the file. Only where all replicas of identity read this very file; otherwise add a line, such as openssl rand -base64 32 prints, as the first one of each copy, and give all replicas theirs before you run this command."`
}

// keyProgress is how often progress is printed.
const keyProgress = time.Second

// Validate checks the file.
func (c *rotateKEKCommand) Validate() error { return validKEKs(c.KEKFile, c.connection) }

// Run wraps all keys by the first key-encryption key of the file. It may be interrupted and
// run again.
func (c *rotateKEKCommand) Run(ctx context.Context) error {
	return c.withJetStream(ctx, "lonja keys rotate kek", func(js jetstream.JetStream) error {
		keks, err := loadKEKs(c.KEKFile)
		if err != nil {
			return err
		}
		ring := keyring.New(js, keks)
		if err := ring.Check(ctx); err != nil { // before anything is changed
			return err
		}
		if c.New {
			if err := addKEK(c.KEKFile); err != nil {
				return err
			}
		}
		printed, total := time.Now(), 0
		err = ring.Rewrap(ctx, func(done, of int) {
			if total = of; time.Since(printed) > keyProgress {
				printed = time.Now()
				fmt.Printf("%d of %d keys are wrapped\n", done, of)
			}
		})
		if err != nil {
			return fmt.Errorf("%w; run the command again, without --new, for the other keys", err)
		}
		return reportKEKs(c.KEKFile, total)
	})
}

// addKEK puts a new key into the file.
func addKEK(file string) error {
	id, err := keyring.AddKEK(file)
	if err != nil {
		return fmt.Errorf("--new: %s cannot be changed here: %w; where it is mounted, as from a Secret of Kubernetes, add a line that openssl rand -base64 32 prints, as the first one, to what it is mounted from, "+
			"wait until all replicas of identity have it, and run this command without --new", file, err)
	}
	fmt.Printf("key-encryption key %s is new in %s: back up the file, apart from the data\n", id, file)
	return nil
}

// reportKEKs prints by which key everything is wrapped, and which keys of the file are not
// needed any more.
func reportKEKs(file string, total int) error {
	ids, err := keyring.KEKIDs(file)
	if err != nil {
		return err
	}
	fmt.Printf("all keys, of %d owners, are wrapped by key-encryption key %s\n", total, ids[0])
	if len(ids) > 1 {
		fmt.Printf("%s can be removed from the file with lonja keys forget-kek; keep a copy for as long as you keep backups of the stream %s that were made before\n",
			strings.Join(ids[1:], ", "), keyring.Stream)
	}
	return nil
}

type forgetKEKCommand struct {
	connection
	KEKFile string `name:"kek-file" help:"File of the key-encryption keys, of which the first wraps." type:"path" required:""`
}

// Validate checks the file.
func (c *forgetKEKCommand) Validate() error { return validKEKs(c.KEKFile, c.connection) }

// Run removes the key-encryption keys from the file that wrap nothing.
func (c *forgetKEKCommand) Run(ctx context.Context) error {
	return c.withJetStream(ctx, "lonja keys forget-kek", func(js jetstream.JetStream) error {
		ids, err := keyring.KEKIDs(c.KEKFile)
		if err != nil {
			return err
		}
		removed, err := keyring.RetireKEKs(c.KEKFile, func(ids []string) error { return unusedKEKs(ctx, js, ids) })
		if err != nil {
			return fmt.Errorf("%w; where the file is mounted, as from a Secret of Kubernetes, remove all keys but the first from what it is mounted from, once they wrap nothing", err)
		}
		if len(removed) == 0 {
			fmt.Printf("%s has one key, %s\n", c.KEKFile, ids[0])
			return nil
		}
		fmt.Printf("%s no longer has %s\n", c.KEKFile, strings.Join(removed, ", "))
		return nil
	})
}

// unusedKEKs returns an error if one of the key-encryption keys wraps something.
func unusedKEKs(ctx context.Context, js jetstream.JetStream, ids []string) error {
	usage, err := keyring.ReadUsage(ctx, js)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if n := usage.ByKEK[id]; n > 0 {
			return fmt.Errorf("key-encryption key %s wraps %d keys, which nobody could read without it: run lonja keys rotate kek first, when all replicas of identity have the file", id, n)
		}
	}
	return nil
}

// validKEKs checks the flags of a command that has a file of key-encryption keys.
func validKEKs(file string, at connection) error {
	if err := at.Validate(); err != nil {
		return err
	}
	if _, err := keyring.KEKIDs(file); err != nil {
		return fmt.Errorf("--kek-file: %w", err)
	}
	return nil
}

// printKEKs prints which key-encryption keys there are and how many keys each wraps. File may
// be "".
func printKEKs(ctx context.Context, js jetstream.JetStream, file string) error {
	usage, err := keyring.ReadUsage(ctx, js)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // nothing was ever sealed
	}
	if err != nil {
		return err
	}
	var ids []string
	if file != "" {
		if ids, err = keyring.KEKIDs(file); err != nil {
			return err
		}
	}
	rows := [][]string{{"KEY-ENCRYPTION KEY", "WRAPS", "STATE"}}
	for n, id := range ids {
		state := "in the file"
		switch {
		case n == 0:
			state = "wraps new keys"
		case usage.ByKEK[id] == 0:
			state = "not needed: lonja keys forget-kek removes it from the file"
		}
		rows = append(rows, []string{id, fmt.Sprint(usage.ByKEK[id]), state})
		delete(usage.ByKEK, id)
	}
	for _, id := range slices.Sorted(maps.Keys(usage.ByKEK)) {
		state := "give --kek-file to compare it with the file"
		if file != "" {
			state = "MISSING in " + file + ": what its keys sealed cannot be read"
		}
		rows = append(rows, []string{id, fmt.Sprint(usage.ByKEK[id]), state})
	}
	if err := writeTable(os.Stdout, rows); err != nil {
		return err
	}
	fmt.Printf("%d keys were destroyed\n", usage.Destroyed)
	return nil
}

// writeTable writes rows with aligned columns.
func writeTable(w io.Writer, rows [][]string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	return out.Flush()
}
