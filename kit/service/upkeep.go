package service

import (
	"context"
	"time"
)

// upkeepInterval is the default of Service.UpkeepInterval.
const upkeepInterval = time.Minute

// keepUp calls Upkeep at once, and then again and again until ctx ends.
func (s *Service) keepUp(ctx context.Context, d *deps) {
	interval := s.UpkeepInterval
	if interval == 0 {
		interval = upkeepInterval
	}
	for ctx.Err() == nil {
		if err := s.keepUpOnce(ctx, d); err != nil && ctx.Err() == nil {
			d.Logger.Warn("the upkeep failed and will be tried again", "in", interval, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}

func (s *Service) keepUpOnce(ctx context.Context, d *deps) (err error) {
	defer recoverPanic(&err)
	return s.Upkeep(ctx, d.keys)
}
