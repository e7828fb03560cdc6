package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// profile takes a CPU and an allocation profile of the shop while a load runs,
// into dir. It waits until both are written.
func profile(ctx context.Context, s *shop, dir, name string, d time.Duration) func() error {
	base := strings.TrimRight(s.output["pprof"], "/")
	var taking errgroup.Group
	for _, kind := range []string{"profile", "allocs"} {
		from := fmt.Sprintf("%s/%s?seconds=%d", base, kind, max(1, int(d.Seconds())))
		to := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+"."+kind+".prof")
		taking.Go(func() error { return download(ctx, from, to) })
	}
	return taking.Wait
}

func download(ctx context.Context, from, to string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", from, res.Status)
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, res.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
