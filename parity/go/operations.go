package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workerpb "go.temporal.io/api/worker/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// What those who operate a server do: reset, pause, change, and look at queues and workers.
func init() {
	scenarios["is_reset"] = isReset
	scenarios["reset_is_refused"] = resetIsRefused
	scenarios["activity_is_paused"] = activityIsPaused
	scenarios["activity_is_reset"] = activityIsReset
	scenarios["activity_gets_other_options"] = activityGetsOtherOptions
	scenarios["workflow_is_paused"] = workflowIsPaused
	scenarios["has_a_priority"] = hasAPriority
	scenarios["task_queue_is_described"] = taskQueueIsDescribed
	scenarios["workers_are_listed"] = workersAreListed
}

func (s *session) execution() *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: s.id}
}

func isReset(s *session) error {
	s.work(flow{"collector", func(ctx workflow.Context) (words []string, err error) {
		for {
			var word string
			workflow.GetSignalChannel(ctx, "word").Receive(ctx, &word)
			if word == "" {
				return
			}
			words = append(words, word)
		}
	}})
	run := s.start("collector")
	s.settled(s.id)
	for _, word := range []string{"a", "b"} {
		s.signal("word", word)
		s.settled(s.id)
	}
	reset := func(eventID int64, exclude ...enumspb.ResetReapplyExcludeType) {
		reply, err := s.client.ResetWorkflowExecution(s.ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: namespace, WorkflowExecution: s.execution(), Reason: "once more", RequestId: s.name(fmt.Sprint("reset-", len(s.runs))),
			WorkflowTaskFinishEventId: eventID, ResetReapplyExcludeTypes: exclude,
		})
		must(err)
		s.sawID(s.id, reply.RunId)
		s.settled(s.id)
	}
	reset(4)
	s.signal("word", "c")
	s.settled(s.id)
	reset(4, enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL)
	s.signal("word", "d")
	s.settled(s.id)
	s.signal("word", "")
	s.await("first run", run)
	s.await("last run", s.client.GetWorkflow(s.ctx, s.id, ""))
	return nil
}

func resetIsRefused(s *session) error {
	reset := func(key string, eventID int64) {
		_, err := s.client.ResetWorkflowExecution(s.ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: namespace, WorkflowExecution: s.execution(), Reason: "once more", RequestId: key, WorkflowTaskFinishEventId: eventID,
		})
		s.note(key, err)
	}
	reset("unknown", 4)
	s.work(waiter)
	run := s.start("waiter")
	s.settled(s.id)
	reset("first event", 1)
	reset("far event", 40)
	s.signal("end", "done")
	s.await("result", run)
	return nil
}

// shakyFlow runs one activity that fails until `ready`, with an hour between attempts.
func shakyFlow(ready *atomic.Bool) []any {
	return []any{
		act{"shaky", func(ctx context.Context) (string, error) {
			if !ready.Load() {
				return "", errors.New("not yet")
			}
			return "done", nil
		}},
		flow{"shaky", func(ctx workflow.Context) (result string, err error) {
			ctx = withActivity(ctx, func(o *workflow.ActivityOptions) { o.ActivityID, o.RetryPolicy.InitialInterval = "the-one", time.Hour })
			err = workflow.ExecuteActivity(ctx, "shaky").Get(ctx, &result)
			return
		}},
	}
}

// waiting waits until the activity is as it should be, and notes how it looks.
func (s *session) waiting(key string, condition func(*workflowpb.PendingActivityInfo) bool) {
	var now *workflowpb.PendingActivityInfo
	s.until(func() bool {
		found, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, "")
		if err != nil || len(found.PendingActivities) != 1 {
			return false
		}
		now = found.PendingActivities[0]
		return condition(now)
	})
	pause := now.GetPauseInfo().GetManual()
	s.note(key, map[string]any{
		"state": now.State.String(), "attempt": now.Attempt, "paused": now.Paused, "by": pause.GetIdentity(), "why": pause.GetReason(),
		"failure": now.LastFailure.GetMessage(), "timeout": now.GetActivityOptions().GetStartToCloseTimeout().GetSeconds(),
		"maximum": now.MaximumAttempts,
	})
}

func (s *session) waitingForItsSecondAttempt() {
	s.waiting("waits", func(now *workflowpb.PendingActivityInfo) bool {
		return now.Attempt == 2 && now.State == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
	})
}

func activityIsPaused(s *session) error {
	var ready atomic.Bool
	s.work(shakyFlow(&ready)...)
	run := s.start("shaky")
	s.waitingForItsSecondAttempt()
	service := s.client.WorkflowService()
	pause := func(id string) error {
		_, err := service.PauseActivity(s.ctx, &workflowservice.PauseActivityRequest{
			Namespace: namespace, Execution: s.execution(), Identity: "operator", Reason: "a look at it", RequestId: "pause",
			Activity: &workflowservice.PauseActivityRequest_Id{Id: id},
		})
		return err
	}
	s.note("unknown", pause("another"))
	must(pause("the-one"))
	s.waiting("paused", func(now *workflowpb.PendingActivityInfo) bool { return now.Paused })
	ready.Store(true)
	_, err := service.UnpauseActivity(s.ctx, &workflowservice.UnpauseActivityRequest{
		Namespace: namespace, Execution: s.execution(), Identity: "operator",
		Activity: &workflowservice.UnpauseActivityRequest_Id{Id: "the-one"},
	})
	must(err)
	s.await("result", run)
	return nil
}

func activityIsReset(s *session) error {
	var ready atomic.Bool
	s.work(shakyFlow(&ready)...)
	run := s.start("shaky")
	s.waitingForItsSecondAttempt()
	ready.Store(true)
	_, err := s.client.WorkflowService().ResetActivity(s.ctx, &workflowservice.ResetActivityRequest{
		Namespace: namespace, Execution: s.execution(), Identity: "operator",
		Activity: &workflowservice.ResetActivityRequest_Id{Id: "the-one"},
	})
	must(err)
	s.await("result", run)
	return nil
}

func activityGetsOtherOptions(s *session) error {
	var ready atomic.Bool
	s.work(shakyFlow(&ready)...)
	run := s.start("shaky")
	s.waitingForItsSecondAttempt()
	change := func(key string, options *activitypb.ActivityOptions, paths ...string) {
		reply, err := s.client.WorkflowService().UpdateActivityOptions(s.ctx, &workflowservice.UpdateActivityOptionsRequest{
			Namespace: namespace, Execution: s.execution(), Identity: "operator", ActivityOptions: options,
			UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
			Activity:   &workflowservice.UpdateActivityOptionsRequest_Id{Id: "the-one"},
		})
		if err != nil {
			s.note(key, err)
			return
		}
		s.note(key, map[string]any{
			"timeout": reply.ActivityOptions.StartToCloseTimeout.GetSeconds(), "interval": reply.ActivityOptions.RetryPolicy.InitialInterval.GetSeconds(),
		})
	}
	change("unknown field", &activitypb.ActivityOptions{}, "colour")
	ready.Store(true)
	change("changed", &activitypb.ActivityOptions{
		StartToCloseTimeout: durationpb.New(7 * time.Second),
		RetryPolicy:         &commonpb.RetryPolicy{InitialInterval: durationpb.New(time.Second)},
	}, "start_to_close_timeout", "retry_policy.initial_interval")
	s.await("result", run)
	return nil
}

func workflowIsPaused(s *session) error {
	s.work(waiter)
	run := s.start("waiter")
	s.settled(s.id)
	service := s.client.WorkflowService()
	_, err := service.PauseWorkflowExecution(s.ctx, &workflowservice.PauseWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: s.id, Identity: "operator", Reason: "a look at it", RequestId: "pause",
	})
	if err != nil {
		s.note("pause", err)
		must(s.client.TerminateWorkflow(s.ctx, s.id, "", "enough"))
		return nil
	}
	s.signal("end", "while it was paused")
	found, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, "")
	must(err)
	s.note("status", found.WorkflowExecutionInfo.Status.String())
	_, err = service.UnpauseWorkflowExecution(s.ctx, &workflowservice.UnpauseWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: s.id, Identity: "operator", Reason: "seen", RequestId: "unpause",
	})
	must(err)
	s.await("result", run)
	return nil
}

func hasAPriority(s *session) error {
	s.work(act{"double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }},
		flow{"child", func(ctx workflow.Context) (int, error) { return workflow.GetInfo(ctx).Priority.PriorityKey, nil }},
		flow{"important", func(ctx workflow.Context) (map[string]any, error) {
			own := workflow.GetInfo(ctx).Priority
			var child, double int
			inner := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.id + "-child"})
			must(workflow.ExecuteChildWorkflow(inner, "child").Get(ctx, &child))
			ctx = withActivity(ctx, func(o *workflow.ActivityOptions) { o.Priority = temporal.Priority{PriorityKey: 5} })
			must(workflow.ExecuteActivity(ctx, "double", 21).Get(ctx, &double))
			return map[string]any{"own": own, "child": child, "double": double}, nil
		}})
	options := s.options()
	options.Priority = temporal.Priority{PriorityKey: 2, FairnessKey: "tenant", FairnessWeight: 1.5}
	s.await("result", s.startWith(options, "important"))
	options.ID, options.Priority = s.name("bad"), temporal.Priority{PriorityKey: -1}
	_, err := s.client.ExecuteWorkflow(s.ctx, options, "important")
	s.note("below zero", err)
	return nil
}

func taskQueueIsDescribed(s *session) error {
	var runs []client.WorkflowRun
	for n := range 3 {
		options := s.options()
		options.ID = fmt.Sprint(s.id, "-", n)
		runs = append(runs, s.startWith(options, "waiter"))
	}
	stats := func() (*taskqueuepb.TaskQueueStats, error) {
		reply, err := s.client.WorkflowService().DescribeTaskQueue(s.ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: s.taskQueue},
			TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW, ReportStats: true,
		})
		return reply.GetStats(), err
	}
	s.until(func() bool {
		now, err := stats()
		return err == nil && now.ApproximateBacklogCount == 3
	})
	s.work(waiter)
	s.until(func() bool {
		now, err := stats()
		return err == nil && now.ApproximateBacklogCount == 0
	})
	var pollers []string
	s.until(func() bool {
		reply, err := s.client.DescribeTaskQueue(s.ctx, s.taskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		pollers = nil
		for _, one := range reply.GetPollers() {
			pollers = append(pollers, one.Identity)
		}
		return err == nil && len(pollers) == 1
	})
	s.note("pollers", pollers)
	for _, run := range runs {
		s.settled(run.GetID())
		must(s.client.SignalWorkflow(s.ctx, run.GetID(), "", "end", "done"))
		must(run.Get(s.ctx, nil))
	}
	return nil
}

func workersAreListed(s *session) error {
	connection, err := client.NewClientFromExistingWithContext(s.ctx, s.client, client.Options{
		Identity: "heart", Logger: silence{}, WorkerHeartbeatInterval: time.Second,
	})
	must(err)
	w := worker.New(connection, s.taskQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(waiter.function, workflow.RegisterOptions{Name: waiter.name})
	must(w.Start())
	listed := func(key string, condition func(*workerpb.WorkerListInfo) bool) {
		s.until(func() bool {
			reply, err := s.client.WorkflowService().ListWorkers(s.ctx, &workflowservice.ListWorkersRequest{
				Namespace: namespace, Query: fmt.Sprintf("TaskQueue = '%s'", s.taskQueue),
			})
			if err != nil || len(reply.Workers) != 1 || !condition(reply.Workers[0]) {
				return false
			}
			one := reply.Workers[0]
			s.note(key, []string{one.WorkerIdentity, one.TaskQueue, one.SdkName, one.Status.String()})
			return true
		})
	}
	listed("at work", func(one *workerpb.WorkerListInfo) bool { return one.Status == enumspb.WORKER_STATUS_RUNNING })
	w.Stop()
	listed("stopped", func(one *workerpb.WorkerListInfo) bool { return one.Status != enumspb.WORKER_STATUS_RUNNING })
	return nil
}
