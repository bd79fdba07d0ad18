/** Columns of the tables that we insert into, over all releases that we know: a mandatory one besides them stops a run. */

/** Made from the schema facts; a test compares. */
export const knownColumns: Readonly<Record<string, string>> = {
  app: 'id workspace_id path summary policy versions extra_perms draft_only custom_path labels',
  app_version: 'id app_id value created_by created_at raw_app',
  asset: 'workspace_id path kind usage_access_type usage_path usage_kind created_at id columns',
  audit: 'workspace_id id timestamp username operation action_kind resource parameters email span',
  audit_partitioned: 'workspace_id id timestamp username operation action_kind resource parameters email span',
  config: 'name config',
  dependency_map: 'workspace_id importer_path importer_kind imported_path importer_node_id imported_lockfile_hash',
  deployment_metadata: 'workspace_id path script_hash app_version callback_job_ids deployment_msg flow_version job_id',
  draft: 'workspace_id path typ value created_at email id',
  flow: 'workspace_id path summary description value edited_by edited_at archived schema extra_perms dependency_job draft_only tag ws_error_handler_muted dedicated_worker timeout visible_to_runner_only concurrency_key versions on_behalf_of_email lock_error_logs labels on_behalf_of',
  flow_version: 'id workspace_id path value schema created_by created_at',
  folder:
    'name workspace_id display_name owners extra_perms summary edited_at created_by default_permissioned_as labels',
  folder_permission_history: 'id workspace_id folder_name changed_by changed_at change_type affected',
  global_settings: 'name value updated_at',
  group_: 'workspace_id name summary extra_perms',
  group_permission_history: 'id workspace_id group_name changed_by changed_at change_type member_affected',
  job_perms: 'job_id email username is_admin is_operator created_at workspace_id groups folders end_user_email',
  password:
    'email password_hash login_type super_admin verified name company first_time_user username devops role_source disabled',
  resource: 'workspace_id path value description resource_type extra_perms edited_at created_by labels',
  resource_type: 'workspace_id name schema description edited_at created_by format_extension is_fileset',
  resource_version: 'id workspace_id path resource_type value created_by created_at',
  schedule:
    'workspace_id path edited_by edited_at schedule enabled script_path args extra_perms is_flow email error timezone on_failure on_recovery on_failure_times on_failure_exact on_failure_extra_args on_recovery_times on_recovery_extra_args ws_error_handler_muted retry summary no_flow_overlap tag paused_until on_success on_success_extra_args cron_version description dynamic_skip permissioned_as labels',
  script:
    'workspace_id hash path parent_hashes summary description content created_by created_at archived schema deleted is_template extra_perms lock lock_error_logs language kind tag draft_only envs concurrent_limit concurrency_time_window_s cache_ttl dedicated_worker ws_error_handler_muted priority timeout delete_after_use restart_unless_cancelled concurrency_key visible_to_runner_only no_main_func codebase has_preprocessor on_behalf_of_email schema_validation assets debounce_key debounce_delay_s runnable_settings_handle cache_ignore_s3_path modules auto_kind labels delete_after_secs on_behalf_of',
  trashbin: 'id workspace_id item_kind item_path item_data deleted_by deleted_at expires_at',
  usr: 'workspace_id username email is_admin created_at operator disabled role added_via is_service_account',
  usr_to_group: 'workspace_id group_ usr',
  v2_job:
    'id raw_code raw_lock raw_flow tag workspace_id created_at created_by permissioned_as permissioned_as_email kind runnable_id runnable_path parent_job root_job script_lang script_entrypoint_override flow_step flow_step_id flow_innermost_root_job trigger trigger_kind same_worker visible_to_owner concurrent_limit concurrency_time_window_s cache_ttl timeout priority preprocessed args labels pre_run_error',
  v2_job_queue:
    'id workspace_id __parent_job __created_by created_at started_at scheduled_for running __script_hash __script_path __args __logs __raw_code __canceled canceled_by canceled_reason __last_ping __job_kind __env_id __schedule_path __permissioned_as __flow_status __raw_flow __is_flow_step __language suspend suspend_until __same_worker __raw_lock __pre_run_error __email __visible_to_owner __mem_peak __root_job __leaf_jobs tag __concurrent_limit __concurrency_time_window_s __timeout __flow_step_id __cache_ttl priority worker extras runnable_settings_handle cache_ignore_s3_path',
  v2_job_runtime: 'id ping memory_peak',
  v2_job_status: 'id flow_status flow_leaf_jobs workflow_as_code_status',
  variable:
    'workspace_id path value is_secret description extra_perms account is_oauth expires_at labels edited_at edited_by',
  workspace: 'id name owner deleted premium parent_workspace_id is_dev_workspace dev_workspace_label',
  workspace_env: 'workspace_id name value',
  workspace_invite: 'workspace_id email is_admin operator',
  workspace_key: 'workspace_id kind key',
  workspace_runnable_dependencies: 'flow_path runnable_path script_hash runnable_is_flow workspace_id app_path',
  workspace_settings:
    'workspace_id slack_team_id slack_name slack_command_script slack_email auto_invite_domain auto_invite_operator customer_id plan webhook deploy_to error_handler ai_resource error_handler_extra_args error_handler_muted_on_cancel large_file_storage git_sync default_app auto_add automatic_billing default_scripts deploy_ui mute_critical_alerts color operator_settings teams_command_script teams_team_id teams_team_name ai_models code_completion_model ai_config git_app_installations ducklake auto_add_instance_groups auto_add_instance_groups_roles slack_oauth_client_id slack_oauth_client_secret datatable teams_team_guid auto_invite success_handler public_app_execution_limit_per_minute error_handler_fallback_to_instance_alerts dbt_warehouses'
}
