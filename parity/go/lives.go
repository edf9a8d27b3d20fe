package main

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Starts, closes, signals, queries, children and the ids of workflows.
func init() {
	scenarios["executes"] = executes
	scenarios["fails"] = fails
	scenarios["is_started_twice"] = isStartedTwice
	scenarios["is_started_eagerly"] = isStartedEagerly
	scenarios["starts_after_a_delay"] = startsAfterADelay
	scenarios["is_signalled_and_queried"] = isSignalledAndQueried
	scenarios["is_signalled_with_start"] = isSignalledWithStart
	scenarios["is_cancelled"] = isCancelled
	scenarios["is_terminated"] = isTerminated
	scenarios["times_out"] = timesOut
	scenarios["continues_as_new"] = continuesAsNew
	scenarios["is_retried"] = isRetried
	scenarios["runs_on_cron"] = runsOnCron
	scenarios["has_children"] = hasChildren
	scenarios["cancels_a_child"] = cancelsAChild
	scenarios["leaves_children"] = leavesChildren
	scenarios["signals_and_cancels_another"] = signalsAndCancelsAnother
	scenarios["is_unknown"] = isUnknown
	scenarios["panics_once"] = panicsOnce
}

// waiter ends with what the signal "end" brings.
var waiter = flow{"waiter", func(ctx workflow.Context) (string, error) {
	var word string
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, &word)
	return word, ctx.Err()
}}

func executes(s *session) error {
	s.work(flow{"greet", func(_ workflow.Context, name string) (string, error) { return "Hello, " + name, nil }})
	s.await("result", s.start("greet", "Ada"))
	return nil
}

func fails(s *session) error {
	s.work(flow{"fail", func(workflow.Context) error {
		cause := errors.New("the cause")
		return temporal.NewNonRetryableApplicationError("it broke", "Broken", cause, map[string]int{"at": 3})
	}})
	s.await("result", s.start("fail"))
	return nil
}

func isStartedTwice(s *session) error {
	s.work(waiter)
	first := s.start("waiter")
	s.settled(s.id)
	_, err := s.client.ExecuteWorkflow(s.ctx, s.options(), "waiter")
	s.note("again", err)
	options := s.options()
	options.WorkflowExecutionErrorWhenAlreadyStarted = false
	same, err := s.client.ExecuteWorkflow(s.ctx, options, "waiter")
	must(err)
	s.note("same run", same.GetRunID() == first.GetRunID())
	options = s.options()
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	second := s.startWith(options, "waiter")
	s.await("first", s.client.GetWorkflow(s.ctx, s.id, first.GetRunID()))
	s.settled(s.id)
	s.saw(second)
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "end", "done"))
	s.await("second", second)
	options = s.options()
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	_, err = s.client.ExecuteWorkflow(s.ctx, options, "waiter")
	s.note("after the close", err)
	return nil
}

func isStartedEagerly(s *session) error {
	s.work(flow{"quick", func(workflow.Context) (string, error) { return "eager", nil }})
	options := s.options()
	options.EnableEagerStart = true
	s.await("result", s.startWith(options, "quick"))
	return nil
}

func startsAfterADelay(s *session) error {
	s.work(flow{"quick", func(workflow.Context) (string, error) { return "late", nil }})
	options := s.options()
	options.StartDelay = time.Second
	s.await("result", s.startWith(options, "quick"))
	return nil
}

func isSignalledAndQueried(s *session) error {
	s.work(flow{"counter", func(ctx workflow.Context) (int, error) {
		total := 0
		must(workflow.SetQueryHandler(ctx, "total", func() (int, error) { return total, nil }))
		must(workflow.SetQueryHandler(ctx, "broken", func() (int, error) { return 0, errors.New("no answer") }))
		for {
			var amount int
			workflow.GetSignalChannel(ctx, "add").Receive(ctx, &amount)
			if amount == 0 {
				return total, nil
			}
			total += amount
		}
	}})
	run := s.start("counter")
	s.settled(s.id)
	for _, amount := range []int{1, 2, 4} {
		must(s.client.SignalWorkflow(s.ctx, s.id, "", "add", amount))
		s.settled(s.id)
	}
	ask := func(key, kind string) {
		var total any
		value, err := s.client.QueryWorkflow(s.ctx, s.id, "", kind)
		if err == nil {
			err = value.Get(&total)
		}
		if err != nil {
			s.note(key, err)
			return
		}
		s.note(key, total)
	}
	ask("total", "total")
	ask("broken", "broken")
	ask("unknown", "unknown")
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "add", 0))
	s.await("result", run)
	ask("after the close", "total")
	reply, err := s.client.QueryWorkflowWithOptions(s.ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID: s.id, QueryType: "total", QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NOT_OPEN,
	})
	must(err)
	s.note("rejected", reply.QueryRejected.GetStatus().String())
	s.note("signal after the close", s.client.SignalWorkflow(s.ctx, s.id, "", "add", 1))
	return nil
}

func isSignalledWithStart(s *session) error {
	run, err := s.client.SignalWithStartWorkflow(s.ctx, s.id, "note", "a", s.options(), "notes")
	must(err)
	s.saw(run)
	again, err := s.client.SignalWithStartWorkflow(s.ctx, s.id, "note", "b", s.options(), "notes")
	must(err)
	s.note("same run", again.GetRunID() == run.GetRunID())
	s.work(flow{"notes", func(ctx workflow.Context) ([]string, error) {
		var notes []string
		for len(notes) < 2 {
			var word string
			workflow.GetSignalChannel(ctx, "note").Receive(ctx, &word)
			notes = append(notes, word)
		}
		return notes, nil
	}})
	s.await("result", run)
	return nil
}

func isCancelled(s *session) error {
	s.work(flow{"tidy", func(ctx workflow.Context) error {
		err := workflow.Sleep(ctx, time.Hour)
		clean, _ := workflow.NewDisconnectedContext(ctx)
		must(workflow.Sleep(clean, 10*time.Millisecond))
		return err
	}})
	run := s.start("tidy")
	s.settled(s.id)
	must(s.client.CancelWorkflow(s.ctx, s.id, ""))
	s.await("result", run)
	s.note("again", s.client.CancelWorkflow(s.ctx, s.id, ""))
	return nil
}

func isTerminated(s *session) error {
	s.work(waiter)
	run := s.start("waiter")
	s.settled(s.id)
	must(s.client.TerminateWorkflow(s.ctx, s.id, "", "enough", "one", 2))
	s.await("result", run)
	s.note("again", s.client.TerminateWorkflow(s.ctx, s.id, "", "enough"))
	return nil
}

func timesOut(s *session) error {
	s.work(waiter)
	options := s.options()
	options.WorkflowRunTimeout = time.Second
	s.await("result", s.startWith(options, "waiter"))
	return nil
}

func continuesAsNew(s *session) error {
	s.work(flow{"countdown", func(ctx workflow.Context, left int) (bool, error) {
		if left == 0 {
			return workflow.GetInfo(ctx).Attempt == 1, nil
		}
		return false, workflow.NewContinueAsNewError(ctx, "countdown", left-1)
	}})
	options := s.options()
	options.Memo = map[string]any{"kept": "yes"}
	s.await("result", s.startWith(options, "countdown", 2))
	return nil
}

func isRetried(s *session) error {
	s.work(flow{"stubborn", func(ctx workflow.Context) (int32, error) {
		attempt := workflow.GetInfo(ctx).Attempt
		if attempt < 3 {
			return 0, temporal.NewApplicationError("not yet", "NotYet")
		}
		return attempt, nil
	}})
	options := s.options()
	options.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 1100 * time.Millisecond, BackoffCoefficient: 1}
	s.await("result", s.startWith(options, "stubborn"))
	return nil
}

func runsOnCron(s *session) error {
	s.work(flow{"tick", func(ctx workflow.Context) (int, error) {
		last := 0
		if workflow.HasLastCompletionResult(ctx) {
			must(workflow.GetLastCompletionResult(ctx, &last))
		}
		return last + 1, nil
	}})
	options := s.options()
	options.CronSchedule = "@every 2s"
	run := s.startWith(options, "tick")
	first, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, run.GetRunID())
	must(err)
	s.note("first", first.WorkflowExecutionInfo.Status.String())
	s.until(func() bool {
		now, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, "")
		return err == nil && now.WorkflowExecutionInfo.Execution.RunId != run.GetRunID()
	})
	must(s.client.TerminateWorkflow(s.ctx, s.id, "", "enough ticks"))
	s.await("result", run)
	return nil
}

func hasChildren(s *session) error {
	child := flow{"child", func(_ workflow.Context, n int) (int, error) {
		if n < 0 {
			return 0, temporal.NewApplicationError("below zero", "Negative")
		}
		return 2 * n, nil
	}}
	s.work(child, flow{"parent", func(ctx workflow.Context) (int, error) {
		total := 0
		for n, id := range []string{"one", "two"} {
			options := workflow.ChildWorkflowOptions{WorkflowID: s.name(s.id + "-" + id), Memo: map[string]any{"n": n}}
			var double int
			if err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), "child", n+1).Get(ctx, &double); err != nil {
				return 0, err
			}
			total += double
		}
		options := workflow.ChildWorkflowOptions{WorkflowID: s.name(s.id + "-three")}
		return total, workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), "child", -1).Get(ctx, nil)
	}})
	s.await("result", s.start("parent"))
	return nil
}

func cancelsAChild(s *session) error {
	s.work(flow{"sleeper", func(ctx workflow.Context) error {
		err := workflow.Sleep(ctx, time.Hour)
		clean, _ := workflow.NewDisconnectedContext(ctx)
		must(workflow.Sleep(clean, 1200*time.Millisecond))
		return err
	}},
		flow{"parent", func(ctx workflow.Context) error {
			options := workflow.ChildWorkflowOptions{WorkflowID: s.name(s.id + "-child"), WaitForCancellation: true}
			inner, cancel := workflow.WithCancel(workflow.WithChildOptions(ctx, options))
			child := workflow.ExecuteChildWorkflow(inner, "sleeper")
			must(child.GetChildWorkflowExecution().Get(ctx, nil))
			var go_ any
			workflow.GetSignalChannel(ctx, "go").Receive(ctx, &go_)
			cancel()
			return child.Get(ctx, nil)
		}})
	run := s.start("parent")
	s.settled(s.name(s.id + "-child"))
	s.settled(s.id)
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "go", nil))
	s.await("result", run)
	return nil
}

func leavesChildren(s *session) error {
	policies := map[string]enumspb.ParentClosePolicy{
		"abandon":   enumspb.PARENT_CLOSE_POLICY_ABANDON,
		"cancel":    enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		"terminate": enumspb.PARENT_CLOSE_POLICY_TERMINATE,
	}
	s.work(waiter, flow{"sleeper", func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) }},
		flow{"parent", func(ctx workflow.Context, policy string) error {
			options := workflow.ChildWorkflowOptions{WorkflowID: s.name(s.id + "-" + policy), ParentClosePolicy: policies[policy]}
			child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), "sleeper")
			if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
				return err
			}
			return workflow.Sleep(ctx, 500*time.Millisecond)
		}})
	for _, policy := range []string{"abandon", "cancel", "terminate"} {
		options := s.options()
		options.ID = s.name("parent-" + policy)
		s.await(policy, s.startWith(options, "parent", policy))
		child := s.client.GetWorkflow(s.ctx, s.name(s.id+"-"+policy), "")
		if policy == "abandon" {
			must(s.client.TerminateWorkflow(s.ctx, child.GetID(), "", "left alone"))
		}
		s.await("child of "+policy, child)
	}
	return nil
}

func signalsAndCancelsAnother(s *session) error {
	s.work(waiter, flow{"sleeper", func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Hour) }},
		flow{"caller", func(ctx workflow.Context) (map[string]any, error) {
			seen := map[string]any{}
			show := func(key string, future workflow.Future) {
				if err := future.Get(ctx, nil); err != nil {
					seen[key] = told(err)
				} else {
					seen[key] = "fine"
				}
			}
			show("signal", workflow.SignalExternalWorkflow(ctx, s.name("target"), "", "end", "told"))
			show("signal to nobody", workflow.SignalExternalWorkflow(ctx, s.name("nobody"), "", "end", nil))
			show("cancel", workflow.RequestCancelExternalWorkflow(ctx, s.name("sleeping"), ""))
			show("cancel of nobody", workflow.RequestCancelExternalWorkflow(ctx, s.name("nobody"), ""))
			return seen, nil
		}})
	options := s.options()
	options.ID = s.name("target")
	target := s.startWith(options, "waiter")
	options.ID = s.name("sleeping")
	sleeper := s.startWith(options, "sleeper")
	s.settled(target.GetID())
	s.settled(sleeper.GetID())
	s.await("result", s.start("caller"))
	s.await("target", target)
	s.await("sleeper", sleeper)
	return nil
}

func isUnknown(s *session) error {
	s.note("signal", s.client.SignalWorkflow(s.ctx, s.id, "", "end", nil))
	s.note("cancel", s.client.CancelWorkflow(s.ctx, s.id, ""))
	s.note("terminate", s.client.TerminateWorkflow(s.ctx, s.id, "", ""))
	_, err := s.client.QueryWorkflow(s.ctx, s.id, "", "total")
	s.note("query", err)
	_, err = s.client.DescribeWorkflow(s.ctx, s.id, "")
	s.note("describe", err)
	s.await("result", s.client.GetWorkflow(s.ctx, s.id, ""))
	return nil
}

func panicsOnce(s *session) error {
	panicked := false
	s.work(flow{"nervous", func(workflow.Context) (string, error) {
		if !panicked {
			panicked = true
			panic("nerves")
		}
		return "calm", nil
	}})
	s.await("result", s.start("nervous"))
	return nil
}
