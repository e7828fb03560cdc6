package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"lonja/rewrite"
)

type rewriteLogCommand struct {
	Data    string `help:"Data folder of the shop, which must be stopped. Nothing in it is changed." default:"data" type:"path"`
	Out     string `help:"Folder of the copy, which must not exist." required:"" type:"path"`
	KEKFile string `name:"kek-file" help:"File of the key-encryption keys, made if it is missing. Default: OUT/kek, which is DATA/kek if there is one." type:"path"`
}

// Run copies a data folder and seals what earlier versions recorded in plain text.
func (c *rewriteLogCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	report, err := rewrite.Run(ctx, rewrite.Config{Data: c.Data, Out: c.Out, KEKs: c.KEKFile, Streams: config, Codec: eventCodec,
		Services: newServices, Progress: func(doing string) { fmt.Println(doing) }})
	if err != nil {
		return fmt.Errorf("rewrite-log: %w", err)
	}
	return writeRewriteReport(os.Stdout, c, report)
}

func writeRewriteReport(w io.Writer, c *rewriteLogCommand, r *rewrite.Report) error {
	fmt.Fprintf(w, "%d events of the accounts, compared one by one\n", r.Events)
	for _, typ := range slices.Sorted(maps.Keys(r.Rewritten)) {
		fmt.Fprintf(w, "  %d of type %s are sealed now\n", r.Rewritten[typ], typ)
	}
	if r.Forgotten > 0 {
		fmt.Fprintf(w, "  %d of them are of erased people, and nobody can open them\n", r.Forgotten)
	}
	if len(r.NoEvents) > 0 {
		fmt.Fprintf(w, "%d messages are no events and are as they were; look at each with lonja deadletters: IDENTITY %d\n", len(r.NoEvents), r.NoEvents)
	}
	if r.Emptied > 0 {
		fmt.Fprintf(w, "%d dead letters, or messages being retried, have lost their data; they can be retried\n", r.Emptied)
	}
	if len(r.Dropped) > 0 {
		fmt.Fprintf(w, "consumers of IDENTITY that are not in the copy: %q\n", r.Dropped)
	}
	if r.MadeKEK != "" {
		fmt.Fprintf(w, "%s is new: back it up apart from the data\n", r.MadeKEK)
	}
	fmt.Fprintf(w, "%d addresses, hashes and secrets were searched for in %d files: none is left in plain text\nno violations\n", r.Texts, r.Files)
	_, err := fmt.Fprintf(w, "%s is complete. Start the shop on it, then remove %s and its backups, which hold everything in plain text, and run lonja keys rotate signing.\n"+
		"The secret of the shop, which they hold too, is still the same: with one of them, others can take over sessions. If somebody has one, docs/operate.md says what to do\n", c.Out, c.Data)
	return err
}
