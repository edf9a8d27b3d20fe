package main

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// What workflows do: activities of all kinds, timers, markers, versions, attributes.
func init() {
	scenarios["runs_an_activity"] = runsAnActivity
	scenarios["retries_an_activity"] = retriesAnActivity
	scenarios["activity_fails"] = activityFails
	scenarios["activity_times_out"] = activityTimesOut
	scenarios["activity_is_cancelled"] = activityIsCancelled
	scenarios["activity_is_completed_from_elsewhere"] = activityIsCompletedFromElsewhere
	scenarios["activities_side_by_side"] = activitiesSideBySide
	scenarios["local_activity"] = localActivity
	scenarios["long_local_activity"] = longLocalActivity
	scenarios["timers"] = timers
	scenarios["markers"] = markers
	scenarios["attributes"] = attributes
	scenarios["session_of_activities"] = sessionOfActivities
}

func withActivity(ctx workflow.Context, change func(*workflow.ActivityOptions)) workflow.Context {
	options := workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1},
	}
	if change != nil {
		change(&options)
	}
	return workflow.WithActivityOptions(ctx, options)
}

func runsAnActivity(s *session) error {
	s.work(act{"double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }},
		flow{"doubler", func(ctx workflow.Context, n int) (result int, err error) {
			err = workflow.ExecuteActivity(withActivity(ctx, func(o *workflow.ActivityOptions) { o.Summary = "twice" }), "double", n).Get(ctx, &result)
			return
		}})
	s.await("result", s.start("doubler", 21))
	return nil
}

func retriesAnActivity(s *session) error {
	s.work(act{"shaky", func(ctx context.Context) (string, error) {
		attempt := activity.GetInfo(ctx).Attempt
		if attempt < 3 {
			activity.RecordHeartbeat(ctx, attempt)
			return "", temporal.NewApplicationErrorWithOptions("not yet", "NotYet", temporal.ApplicationErrorOptions{Details: []any{attempt}})
		}
		var last int32
		if err := activity.GetHeartbeatDetails(ctx, &last); err != nil || last != 2 {
			return "", temporal.NewNonRetryableApplicationError("lost the heartbeat", "Lost", err)
		}
		return "third time lucky", nil
	}}, flow{"patient", func(ctx workflow.Context) (result string, err error) {
		err = workflow.ExecuteActivity(withActivity(ctx, nil), "shaky").Get(ctx, &result)
		return
	}})
	s.await("result", s.start("patient"))
	return nil
}

func activityFails(s *session) error {
	s.work(act{"final", func(context.Context) error {
		return temporal.NewNonRetryableApplicationError("never", "Never", errors.New("the cause"), "detail")
	}}, act{"listed", func(context.Context) error { return temporal.NewApplicationError("on the list", "Listed") }},
		act{"twice", func(context.Context) error { return errors.New("again") }},
		flow{"unlucky", func(ctx workflow.Context) (map[string]any, error) {
			ctx = withActivity(ctx, func(o *workflow.ActivityOptions) {
				o.RetryPolicy.MaximumAttempts = 2
				o.RetryPolicy.NonRetryableErrorTypes = []string{"Listed"}
			})
			seen := map[string]any{}
			for _, name := range []string{"final", "listed", "twice"} {
				seen[name] = told(workflow.ExecuteActivity(ctx, name).Get(ctx, nil))
			}
			return seen, nil
		}})
	s.await("result", s.start("unlucky"))
	return nil
}

func activityTimesOut(s *session) error {
	s.work(act{"hang", func(ctx context.Context) error {
		activity.RecordHeartbeat(ctx, "alive")
		time.Sleep(3500 * time.Millisecond)
		return nil
	}}, flow{"impatient", func(ctx workflow.Context) (map[string]any, error) {
		kinds := map[string]func(*workflow.ActivityOptions){
			"start to close": func(o *workflow.ActivityOptions) { o.StartToCloseTimeout = time.Second },
			"heartbeat":      func(o *workflow.ActivityOptions) { o.HeartbeatTimeout = time.Second },
			"schedule to start": func(o *workflow.ActivityOptions) {
				o.ScheduleToStartTimeout, o.TaskQueue = time.Second, s.name("nobody")
			},
		}
		seen := map[string]any{}
		for _, kind := range []string{"start to close", "heartbeat", "schedule to start"} {
			inner := withActivity(ctx, func(o *workflow.ActivityOptions) {
				o.RetryPolicy.MaximumAttempts = 1
				kinds[kind](o)
			})
			seen[kind] = told(workflow.ExecuteActivity(inner, "hang").Get(inner, nil))
		}
		return seen, nil
	}})
	s.await("result", s.start("impatient"))
	return nil
}

func activityIsCancelled(s *session) error {
	started := make(chan struct{})
	s.workWith(worker.Options{MaxHeartbeatThrottleInterval: 50 * time.Millisecond}, act{"until_cancelled", func(ctx context.Context) error {
		close(started)
		for ctx.Err() == nil {
			activity.RecordHeartbeat(ctx, "working")
			time.Sleep(50 * time.Millisecond)
		}
		return temporal.NewCanceledError("stopped by request")
	}}, flow{"changing", func(ctx workflow.Context) (any, error) {
		inner, cancel := workflow.WithCancel(withActivity(ctx, func(o *workflow.ActivityOptions) {
			o.HeartbeatTimeout = 10 * time.Second
			o.WaitForCancellation = true
		}))
		running := workflow.ExecuteActivity(inner, "until_cancelled")
		var word any
		workflow.GetSignalChannel(ctx, "stop").Receive(ctx, &word)
		cancel()
		return told(running.Get(ctx, nil)), nil
	}})
	run := s.start("changing")
	<-started
	s.settled(s.id)
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "stop", nil))
	s.await("result", run)
	return nil
}

func activityIsCompletedFromElsewhere(s *session) error {
	tokens := make(chan []byte, 1)
	s.work(act{"external", func(ctx context.Context) (string, error) {
		tokens <- activity.GetInfo(ctx).TaskToken
		return "", activity.ErrResultPending
	}}, flow{"delegating", func(ctx workflow.Context) (results []any, err error) {
		for _, id := range []string{"by-token", "by-id", "failing"} {
			inner := withActivity(ctx, func(o *workflow.ActivityOptions) { o.ActivityID, o.RetryPolicy.MaximumAttempts = id, 1 })
			var result any
			if err := workflow.ExecuteActivity(inner, "external").Get(ctx, &result); err != nil {
				result = told(err)
			}
			results = append(results, result)
		}
		return
	}})
	run := s.start("delegating")
	token := <-tokens
	must(s.client.RecordActivityHeartbeat(s.ctx, token, "half way"))
	must(s.client.CompleteActivity(s.ctx, token, "with the token", nil))
	s.note("again", s.client.CompleteActivity(s.ctx, token, "with the token", nil))
	<-tokens
	must(s.client.CompleteActivityByID(s.ctx, namespace, s.id, "", "by-id", "with the id", nil))
	must(s.client.CompleteActivity(s.ctx, <-tokens, nil, errors.New("no luck elsewhere")))
	s.await("result", run)
	return nil
}

func activitiesSideBySide(s *session) error {
	s.work(act{"square", func(_ context.Context, n int) (int, error) {
		time.Sleep(time.Duration(n) * 500 * time.Millisecond)
		return n * n, nil
	}}, flow{"sum", func(ctx workflow.Context) (int, error) {
		var running []workflow.Future
		for n := 1; n <= 3; n++ {
			running = append(running, workflow.ExecuteActivity(withActivity(ctx, nil), "square", n))
		}
		total := 0
		for _, one := range running {
			var square int
			must(one.Get(ctx, &square))
			total += square
		}
		return total, nil
	}})
	s.await("result", s.start("sum"))
	return nil
}

func localActivity(s *session) error {
	attempts := 0
	local := func(context.Context) (string, error) {
		attempts++
		if attempts < 3 {
			return "", errors.New("not yet")
		}
		return "near", nil
	}
	s.work(flow{"local", func(ctx workflow.Context) (result string, err error) {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
			ScheduleToCloseTimeout: 10 * time.Second,
			RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 20 * time.Millisecond, BackoffCoefficient: 1},
		})
		err = workflow.ExecuteLocalActivity(ctx, local).Get(ctx, &result)
		return
	}})
	s.await("result", s.start("local"))
	return nil
}

func longLocalActivity(s *session) error {
	s.work(flow{"local", func(ctx workflow.Context) (result string, err error) {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{ScheduleToCloseTimeout: 20 * time.Second})
		err = workflow.ExecuteLocalActivity(ctx, func(context.Context) (string, error) {
			s.reached(s.id, secondTask)
			return "at last", nil
		}).Get(ctx, &result)
		return
	}})
	options := s.options()
	options.WorkflowTaskTimeout = 2 * time.Second
	s.await("result", s.startWith(options, "local"))
	return nil
}

func timers(s *session) error {
	s.work(flow{"clock", func(ctx workflow.Context) (order []string, err error) {
		inner, cancel := workflow.WithCancel(ctx)
		long := workflow.NewTimer(inner, time.Hour)
		short := workflow.NewTimerWithOptions(ctx, 100*time.Millisecond, workflow.TimerOptions{Summary: "short"})
		middle := workflow.NewTimer(ctx, 2500*time.Millisecond)
		selector := workflow.NewSelector(ctx)
		selector.AddFuture(long, func(workflow.Future) { order = append(order, "long") })
		selector.AddFuture(short, func(workflow.Future) { order = append(order, "short") })
		selector.AddFuture(middle, func(workflow.Future) { order = append(order, "middle"); cancel() })
		for range 3 {
			selector.Select(ctx)
		}
		return order, workflow.Sleep(ctx, 0)
	}})
	s.await("result", s.start("clock"))
	return nil
}

func markers(s *session) error {
	s.work(flow{"marked", func(ctx workflow.Context) (map[string]any, error) {
		var side, mutable int
		must(workflow.SideEffect(ctx, func(workflow.Context) any { return 7 }).Get(&side))
		equal := func(a, b any) bool { return a == b }
		for _, value := range []int{1, 1, 2} {
			must(workflow.MutableSideEffect(ctx, "mutable", func(workflow.Context) any { return value }, equal).Get(&mutable))
		}
		version := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 3)
		must(workflow.Sleep(ctx, 10*time.Millisecond))
		again := workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 3)
		return map[string]any{"side": side, "mutable": mutable, "version": version, "again": again}, nil
	}})
	s.await("result", s.start("marked"))
	return nil
}

func attributes(s *session) error {
	keyword, number := temporal.NewSearchAttributeKeyKeyword("ConfKeyword"), temporal.NewSearchAttributeKeyInt64("ConfInt")
	s.work(flow{"labelled", func(ctx workflow.Context) (map[string]any, error) {
		must(workflow.UpsertTypedSearchAttributes(ctx, keyword.ValueSet("second"), number.ValueSet(5)))
		must(workflow.Sleep(ctx, 10*time.Millisecond))
		must(workflow.UpsertTypedSearchAttributes(ctx, number.ValueUnset()))
		must(workflow.UpsertMemo(ctx, map[string]any{"colour": "blue", "size": nil}))
		value, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(keyword)
		return map[string]any{"keyword": value, "number": workflow.GetTypedSearchAttributes(ctx).ContainsKey(number)}, nil
	}})
	options := s.options()
	options.Memo = map[string]any{"colour": "red", "size": 3}
	options.TypedSearchAttributes = temporal.NewSearchAttributes(keyword.ValueSet("first"), number.ValueSet(1))
	options.StaticSummary, options.StaticDetails = "a summary", "and details"
	s.await("result", s.startWith(options, "labelled"))
	found, err := s.client.DescribeWorkflow(s.ctx, s.id, "")
	must(err)
	summary, err := found.GetStaticSummary()
	must(err)
	s.note("summary", summary)
	label, _ := found.TypedSearchAttributes.GetKeyword(keyword)
	s.note("keyword", label)
	options.ID = s.name("bad")
	unknown := temporal.NewSearchAttributeKeyKeyword("NobodyKnows")
	options.TypedSearchAttributes = temporal.NewSearchAttributes(unknown.ValueSet("x"))
	_, err = s.client.ExecuteWorkflow(s.ctx, options, "labelled")
	s.note("unknown attribute", err)
	return nil
}

func sessionOfActivities(s *session) error {
	s.workWith(worker.Options{EnableSessionWorker: true},
		act{"here", func(context.Context) (string, error) { return "on one worker", nil }},
		flow{"bound", func(ctx workflow.Context) (result string, err error) {
			ctx, err = workflow.CreateSession(withActivity(ctx, nil), &workflow.SessionOptions{
				CreationTimeout: 10 * time.Second, ExecutionTimeout: 10 * time.Second,
			})
			if err != nil {
				return
			}
			defer workflow.CompleteSession(ctx)
			err = workflow.ExecuteActivity(ctx, "here").Get(ctx, &result)
			return
		}})
	s.await("result", s.start("bound"))
	// Two of the session's own activities end side by side.
	s.runs = [][2]string{}
	return nil
}
